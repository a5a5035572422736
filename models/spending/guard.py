"""The guard of the budgets: sets the cost of a request aside before it is sent, or refuses it.

The decision is one statement in Postgres over all budgets that a call is under, whoever else asks at the same
time. What a process leaves behind when it dies is taken over by the same call made again, or counts as spent.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from core import clock
from core.database import Database, DatabaseUnavailable
from core.errors import BadInput, FactoryError
from models.budget import Intent, Reservation, Spent
from models.errors import ModelFailure
from models.spending import caps, queries
from models.spending.amount import shown
from models.spending.together import Together

_OVERDUE = 1800.0  # seconds; longer than any call with all its retries (call_seconds in the models file)
_PATIENCE = 600.0  # seconds that a call waits for others to give back what they do not need
_LOOK_AGAIN = 1.0  # seconds; other processes give back too
_COUNTED = "counted"


class PriceUnknown(BadInput, ModelFailure):
    """A model without a price cannot be used where a budget applies."""


class BudgetReached(FactoryError):
    """A budget has no room for the next call. Nothing was sent."""

    http_status = 409

    exit_code = 3

    def __init__(self, full: "Full") -> None:
        self.full = full
        super().__init__(
            f"{full.title} is used up as far as may be without asking: ${shown(full.spent)} of "
            f"${shown(full.cap)} is spent, and the next call may cost up to ${shown(full.wanted)}",
            untouched="Nothing was sent",
            todo="A person extends it, or stops the run",
        )


@dataclass(frozen=True, slots=True)
class Full:
    """A budget that has no room. USD."""

    id: str
    cap: Decimal
    spent: Decimal
    reserved: Decimal
    wanted: Decimal
    extensions: int

    @property
    def title(self) -> str:
        """In words."""
        scope, _, subject = self.id.partition(":")
        return f"The budget of {scope} {subject}"

    @property
    def waits(self) -> bool:
        """Whether it would fit if those under way cost nothing, so that it is worth waiting for them."""
        return (
            self.reserved > 0
            and self.spent < caps.ASK_FROM * self.cap
            and self.spent + self.wanted <= self.cap
        )


@dataclass(frozen=True, slots=True)
class _Answer:
    counted: bool = False
    refused: tuple[Full, ...] = ()


class Budgets:
    """The guard over one database. One for a process."""

    def __init__(
        self,
        db: Database,
        *,
        day_usd: Decimal | None = None,
        overdue_seconds: float = _OVERDUE,
        patience_seconds: float = _PATIENCE,
    ) -> None:
        self._db = db
        self._day = day_usd
        self._overdue = overdue_seconds
        self._patience = patience_seconds
        self._projects: dict[str, str] = {}
        self._reserving = Together[dict[str, Any], _Answer](self._reserve)
        self._settling = Together[dict[str, Any], None](self._settle)
        self._freed = asyncio.Event()
        self._undoing: set[asyncio.Task[None]] = set()

    async def reserve(self, intent: Intent) -> Reservation:
        """Set the most that a request may cost aside in every budget it is under.

        Waits while only other calls under way stand in the way. Raises BudgetReached, PriceUnknown,
        DatabaseUnavailable; nothing is set aside then.
        """
        ids = await self._ids(intent)
        if intent.cost_usd is None:
            await self._require_price(intent, ids)
            return Reservation(intent)
        asked = self._request(intent, ids, intent.cost_usd)
        until = clock.monotonic() + self._patience
        while True:
            freed = self._freed
            answer = await self._ask(intent, asked)
            if not answer.refused:
                return Reservation(intent, _COUNTED if answer.counted else "")
            full = next((one for one in answer.refused if not one.waits), None)
            if full is not None or clock.monotonic() >= until:
                raise BudgetReached(full or answer.refused[0])
            await caps.lapse(self._db)
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_AGAIN):
                    await freed.wait()

    async def settle(self, reservation: Reservation, spent: Spent) -> None:
        """Put what was spent in the place of what was set aside."""
        await self._give_back(reservation, spent.cost_usd)

    async def release(self, reservation: Reservation) -> None:
        """Give back what was set aside."""
        await self._give_back(reservation, Decimal(0))

    async def _ask(self, intent: Intent, asked: dict[str, Any]) -> _Answer:
        answer = self._reserving.ask(asked)
        try:
            return await asyncio.shield(answer)
        except asyncio.CancelledError:
            # It may be set aside already, or be so in a moment: nobody would give it back.
            undoing = asyncio.create_task(self._undo(intent, answer))
            self._undoing.add(undoing)
            undoing.add_done_callback(self._undoing.discard)
            raise

    async def _undo(self, intent: Intent, answer: "asyncio.Future[_Answer]") -> None:
        with suppress(FactoryError, psycopg.Error, ConnectionError):  # then it counts until it is overdue
            if (await answer).counted:
                await self.release(Reservation(intent, _COUNTED))

    async def _give_back(self, reservation: Reservation, cost: Decimal) -> None:
        if not reservation.id:
            return
        await self._settling.ask({**_named(reservation.intent), "cost": str(cost)})
        self._freed.set()
        self._freed = asyncio.Event()

    async def _ids(self, intent: Intent) -> list[str]:
        """The budgets that a call may be under; that of the day is the database's to know."""
        call = intent.call
        project = intent.project or await self._project(call.run_id)
        ids = [f"run:{call.run_id}", f"stage:{call.run_id}/{call.paid_by or call.team}"]
        if project:
            ids += [f"project:{project}", f"team:{project}/{call.team}"]
        return [*ids, f"account:{intent.account}"]

    async def _project(self, run_id: str) -> str:
        if run_id not in self._projects:
            async with self._db.pool.connection() as connection:
                row = await (await connection.execute(queries.PROJECT, {"run_id": run_id})).fetchone()
            if row is None:
                return ""
            self._projects[run_id] = row["name"]
        return self._projects[run_id]

    async def _require_price(self, intent: Intent, ids: list[str]) -> None:
        async with self._db.pool.connection() as connection:
            rows = await (await connection.execute(queries.APPLYING, {"ids": ids})).fetchall()
        if rows or self._day is not None:
            which = ", ".join(row["id"] for row in rows) or "the day"
            raise PriceUnknown(
                f"{intent.account}/{intent.model} has no price, and a budget applies ({which})",
                untouched="Nothing was sent",
                todo=f'Give input_price and output_price under [models."{intent.model}"] in the models file; '
                "0 for one that costs nothing",
            )

    def _request(self, intent: Intent, ids: list[str], cost: Decimal) -> dict[str, Any]:
        call = intent.call
        who = {
            "team": call.team,
            "operative": call.operative,
            "kind": call.kind,
            "provider": intent.provider,
            "account": "" if intent.account == intent.provider else intent.account,
            "model": intent.model,
        }
        return {
            **_named(intent),
            "ids": ids,
            "amount": str(cost),
            "seconds": self._overdue,
            "call": who,
        }

    async def _reserve(self, calls: Sequence[dict[str, Any]]) -> Sequence[_Answer]:
        """All at once where they all fit; else halves, so that who comes first is served first."""
        values = {
            "calls": Jsonb([{**call, "n": number} for number, call in enumerate(calls)]),
            "share": caps.ASK_FROM,
            "day": self._day,
        }
        answer = await self._execute(queries.RESERVE, values)
        if "day" in answer:
            await caps.agree(self._db, "day", answer["day"], self._day)
            return await self._reserve(calls)
        if not answer.get("refused"):
            counted = set(answer["counted"])
            return [_Answer(counted=number in counted) for number in range(len(calls))]
        if len(calls) == 1:
            return [_Answer(refused=tuple(sorted(map(_full, answer["refused"]), key=_order)))]
        half = len(calls) // 2
        return [*await self._reserve(calls[:half]), *await self._reserve(calls[half:])]

    async def _settle(self, requests: Sequence[dict[str, Any]]) -> Sequence[None]:
        await self._execute(queries.SETTLE, {"requests": Jsonb(list(requests))})
        return [None] * len(requests)

    async def _execute(self, statement: str, values: dict[str, Any]) -> dict[str, Any]:
        try:
            async with self._db.pool.connection() as connection:
                row = await (await connection.execute(statement, values)).fetchone()  # pyright: ignore[reportArgumentType]
        except psycopg.OperationalError as error:
            raise DatabaseUnavailable(
                f"The budgets cannot be reached: {str(error).strip()}",
                untouched="Nothing was sent",
                todo="Resume the run when the database is back",
            ) from error
        return (row or {}).get("answer") or {}


def _named(intent: Intent) -> dict[str, Any]:
    return {"run": intent.call.run_id, "key": intent.call.key, "attempt": intent.attempt}


def _full(row: dict[str, Any]) -> Full:
    sums = {name: Decimal(row[name]) for name in ("cap", "spent", "reserved", "wanted")}
    return Full(id=row["id"], extensions=row["extensions"], **sums)


def _order(full: Full) -> tuple[int, str]:
    """The narrowest first: what a person can decide with the least consequence."""
    scopes = ("stage", "run", "team", "project", "account", "day")
    return scopes.index(full.id.partition(":")[0]), full.id
