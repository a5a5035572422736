"""Takes runs of the protocol and executes them in this process.

What it holds, and until when, is in the database: a process that dies is followed by any other, from the last
checkpoint.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final, Protocol
from uuid import UUID

import psycopg
from psycopg.rows import DictRow

from api.protocol import ending
from api.protocol.bell import Bell, wait_for
from api.protocol.executing import Outcome
from api.protocol.queries import events, runs
from api.protocol.recorder import Recorder, Scribe
from core import logs
from core.database import Database
from core.fencing import Fenced
from core.redaction import redact
from core.tasks import CLEANING, end
from graph import holds

AT_ONCE: Final = 10
"""Runs of foreign graphs that one process executes side by side."""
LEASE: Final = 20.0
"""Seconds after which a process that says nothing has lost what it executes."""
_LOOK: Final = 1.0
"""Seconds between two looks at what waits, and at what is to be cancelled, where no bell was heard."""

logger = logs.get(__name__)


class Work(Protocol):
    """Executes one attempt at a run."""

    async def __call__(
        self, run: DictRow, recorder: Recorder, wanted: Callable[[], str | None], /
    ) -> Outcome:
        """How it ended. CancelledError while nothing is wanted: this process ends, another goes on."""
        ...


@dataclass
class _Held:
    run: DictRow
    task: asyncio.Task[None]
    wanted: str | None = None
    begun: bool = False
    """A task that is cancelled before it has begun would never end its run."""


@dataclass
class Executor:
    """The runs that this process executes, of the graphs it knows."""

    db: Database
    bell: Bell
    work: Work
    graphs: Callable[[], list[str]]
    at_once: int = AT_ONCE
    patience: float = 0.0
    """Seconds for which runs are left to others."""
    id: str = field(default_factory=lambda: f"protocol-{secrets.token_hex(8)}")
    _held: dict[UUID, _Held] = field(default_factory=dict[UUID, _Held])
    _kept_free: int = 0
    _more: bool = True
    """Whether runs may wait for room here."""
    _is_open: bool = False
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _ended: Callable[[DictRow, Outcome], Awaitable[None]] | None = None
    _scribe: Scribe = field(init=False)

    def __post_init__(self) -> None:
        self._scribe = Scribe(self.db, self.id)

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[None]:
        """Take runs while it is open. At the end, what is under way is let go of, for others."""
        self.bell.on_other(self._heard)
        self._is_open = True
        tasks = [
            asyncio.create_task(self._take_runs(), name="protocol executor"),
            asyncio.create_task(self._keep(), name="protocol leases"),
        ]
        async with self._scribe.open():
            try:
                yield
            finally:
                self._is_open = False
                await end(*tasks)
                await end(*(one.task for one in self._held.values()), again=CLEANING)

    @contextmanager
    def room(self) -> Generator[Callable[[DictRow], None] | None]:
        """Keep a place free meanwhile; what begins a run that is this executor's. None where none is free."""
        if not self._is_open or self._places() <= 0:
            self._more = True
            yield None
            return
        self._kept_free += 1
        try:
            yield self._begin
        finally:
            self._kept_free -= 1

    def _places(self) -> int:
        return self.at_once - len(self._held) - self._kept_free

    def _heard(self, what: str) -> None:
        kind, _, name = what.partition(" ")
        if kind == "run":
            graph = name.partition(" ")[2]
            if not self.patience and (not graph or graph in self.graphs()):
                self._more = True
                self._news.set()
        elif kind in ("interrupt", "rollback"):
            with suppress(ValueError):
                self._cancel(UUID(name), kind)

    def _cancel(self, run_id: UUID, wanted: str) -> None:
        held = self._held.get(run_id)
        if held is not None and held.wanted is None:
            held.wanted = wanted
            if held.begun:
                held.task.cancel()

    async def _take_runs(self) -> None:
        while True:
            self._news.clear()
            try:
                while self._places() > 0 and await self._take():
                    pass  # there may be more
                self._more = self._places() <= 0
            except psycopg.errors.LockNotAvailable:
                # Whoever had it stands still in the middle of a write.
                await self._free_threads()
            except Exception:  # the database may be away for a while; the process stays
                logger.exception("no run of the protocol could be taken")
            await wait_for(self._news, _LOOK)

    async def _take(self) -> bool:
        """Take some of what waits; half of what there is room for, so that others get their share.

        Whether more may wait.
        """
        most = (self._places() + 1) // 2
        async with self.db.pool.connection() as conn:
            taken = await runs.claim(
                conn,
                self.id,
                self.graphs(),
                [*self._held],
                lease=LEASE,
                most=most,
                patience=self.patience,
            )
        for run in taken:
            if self.patience:
                logger.warning("no worker took a run for a while", run=str(run["run_id"]))
            self._begin(run)
        return len(taken) == most

    async def _free_threads(self) -> None:
        async with self.db.pool.connection() as conn:
            stuck = await runs.expired(conn, [*self._held])
        for thread_id in stuck:
            await holds.end_writers(self.db, hold_of(thread_id))

    def _begin(self, run: DictRow) -> None:
        task = asyncio.create_task(self._execute(run), name=f"protocol run {run['run_id']}")
        self._held[run["run_id"]] = _Held(run, task, run["wanted"])

    async def _keep(self) -> None:
        """Renew the leases; look for cancels whose bell was not heard."""
        beats = 0
        while True:
            await asyncio.sleep(_LOOK)
            beats += 1
            if not self._held:
                continue
            try:
                async with self.db.pool.connection() as conn:
                    if beats % 5 == 0:
                        await runs.renew(conn, self.id, [*self._held], lease=LEASE)
                    for row in await runs.unwanted(conn, self.id):
                        self._cancel(row["run_id"], row["wanted"])
            except Exception:
                logger.exception("leases of the protocol's runs not renewed")

    async def _execute(self, run: DictRow) -> None:
        recorder = Recorder(self._scribe, run["run_id"], run["attempt"])
        held = self._held

        def wanted() -> str | None:
            one = held.get(run["run_id"])
            return one.wanted if one else None

        try:
            held[run["run_id"]].begun = True
            outcome = await self._attempt(run, recorder, wanted)
            # From here on nothing is cut off: the end is one transaction.
            await asyncio.shield(asyncio.ensure_future(self._finish(run, recorder, outcome, wanted())))
        except asyncio.CancelledError:
            with suppress(Exception):
                async with self.db.pool.connection() as conn:
                    await runs.release(conn, run["run_id"], executor=self.id, attempt=run["attempt"])
                    await events.ring(conn, f"run {run['run_id']} {run['graph_id']}")
            raise
        except Fenced as fenced:
            logger.warning(
                "a run of the protocol is another's by now", run=str(run["run_id"]), why=str(fenced)
            )
        except Exception:  # the lease runs out, and whoever is there tries again
            logger.exception("a run of the protocol could not be ended", run=str(run["run_id"]))
        finally:
            held.pop(run["run_id"], None)
            if self._more:
                self._news.set()

    async def _attempt(self, run: DictRow, recorder: Recorder, wanted: Callable[[], str | None]) -> Outcome:
        if (already := wanted()) is not None:
            return Outcome("interrupted", "idle", rollback=already == "rollback")
        try:
            async with recorder.open():
                return await self.work(run, recorder, wanted)
        except asyncio.CancelledError:
            if wanted() is None:
                raise
            return Outcome("interrupted", "idle", rollback=wanted() == "rollback")
        except Fenced:
            raise
        except Exception as error:
            logger.warning("a run of the protocol failed", run=str(run["run_id"]), exc_info=True)
            told = {"error": type(error).__name__, "message": redact(str(error))[:2_000]}
            return Outcome("error", "error", error=told)

    async def _finish(self, run: DictRow, recorder: Recorder, outcome: Outcome, wanted: str | None) -> None:
        await ending.end(self.db, run, recorder, outcome, wanted)
        if self._ended is not None:
            await self._ended(run, outcome)

    def on_end(self, call: Callable[[DictRow, Outcome], Awaitable[None]]) -> None:
        """Have `call` told when a run has ended."""
        self._ended = call


def hold_of(thread_id: UUID) -> str:
    """The subject under which a thread is held (graph/holds.py). `_CLAIM` and `_ACCEPT` name it too."""
    return f"thread {thread_id}"


async def cancel(db: Database, run_id: UUID, action: str) -> DictRow | None:
    """Have a run cancelled, wherever it is executed; the run, or None where it has ended."""
    async with db.pool.connection() as conn, conn.transaction():
        run = await runs.want(conn, run_id, action)
        if run is None:
            return None
        if run["status"] == "pending" and await runs.drop(conn, run_id):
            await _dropped(conn, run, action)
        else:
            await events.ring(conn, f"{action} {run_id}")
    return run


async def _dropped(conn: runs.Connection, run: DictRow, action: str) -> None:
    """Nobody has begun it: its thread is what it was before it was accepted."""
    await ending.settle_without(conn, run)
    if action == "rollback":
        await runs.delete(conn, run["run_id"])
    await events.ring(conn, f"ended {run['thread_id']}")
