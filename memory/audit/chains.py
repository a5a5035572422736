"""The runs whose chains the log holds: this factory's own, and those that were imported."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from core.database import Database
from core.errors import NotFound
from memory.audit import queries

_WHERE_TO_LOOK = "List the runs with `factory runs` and `factory audit imported`"


@dataclass(frozen=True, slots=True)
class Chain:
    """One run's chain."""

    run_id: str
    events: int
    hash: str
    """Of its last event."""
    imported_at: datetime | None
    """None for a run of this factory."""
    imported_by: str | None

    @property
    def imported(self) -> bool:
        """Whether it was made elsewhere; it is read-only here."""
        return self.imported_at is not None


async def chain(db: Database, run_id: str) -> Chain | None:
    """The chain of exactly that run."""
    async with db.pool.connection() as connection:
        row = await (await connection.execute(queries.CHAIN, {"run_id": run_id})).fetchone()
    return None if row is None else Chain(**row)


async def imported(db: Database) -> list[Chain]:
    """The imported runs, the newest import first."""
    async with db.pool.connection() as connection:
        cursor = await connection.execute(queries.IMPORTED)
        return [Chain(**row) for row in await cursor.fetchall()]


async def find(db: Database, name: str, *, also: Collection[str] = ()) -> str:
    """The run that an id, its unique beginning, or `last` (of this factory's own) stands for.

    Raises NotFound. `also` are ids that count beside those in the log.
    """
    async with db.pool.connection() as connection:
        if name == "last":
            row = await (await connection.execute(queries.NEWEST_CHAIN)).fetchone()
            if row is None:
                raise NotFound("There is no run yet", todo='Start one with `factory run "…"`')
            return str(row["run_id"])
        cursor = await connection.execute(queries.MATCH_CHAINS, {"prefix": name})
        found = {str(row["run_id"]) for row in await cursor.fetchall()}
    found |= {run for run in also if run.startswith(name)}
    if name in found or len(found) == 1:
        return name if name in found else found.pop()
    if not found:
        raise NotFound(f"No run starts with {name!r}", todo=_WHERE_TO_LOOK)
    several = ", ".join(sorted(found)[:3])
    raise NotFound(f"Several runs start with {name!r}: {several} …", todo="Give more of the id")
