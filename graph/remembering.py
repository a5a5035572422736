"""What the teams of projects remember, as one process has it: whether, by which embedder, and what stands."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psycopg

from core.database import Database
from core.errors import FactoryError
from core.events import EventLog
from core.incarnation import Connection
from core.json import JsonObject
from graph import queries
from memory.lineage.taking_back import CLAIMS, PERSON, TakenBack, Tell
from memory.records import Recalled
from memory.service import Memories
from memory.weights import Weights
from models.service import Models
from workspace.project_settings import MemorySettings, operators

BROKEN: Final = (
    psycopg.DataError,
    psycopg.IntegrityError,
    psycopg.InternalError,
    psycopg.NotSupportedError,
    psycopg.ProgrammingError,
)
"""What a database says of tables that are not as they should be: one is gone, or an index damaged. That it is
gone itself is none of it: then nothing goes on."""

FAILURES: Final = (FactoryError, *BROKEN)
"""What is wrong with a memory, and no stage's fault."""

TAKEN_BACK: Final = "memory.taken_back"
"""The kind of event that names what does not hold any more, because its work was undone."""


@dataclass
class Remembering:
    """The memory of projects. Opened once per process; a bank is opened when it is first needed."""

    db: Database
    home: Path
    stack: AsyncExitStack = field(repr=False)
    """What ends the memory's work in the background."""
    weights: Weights
    """What counts how much in recall."""
    _opened: dict[tuple[str, bool], Memories] = field(
        default_factory=dict[tuple[str, bool], Memories], repr=False
    )

    async def settings(self, project: str) -> MemorySettings:
        """What the operator says about the project's memory, now. Raises ProjectSettingsInvalid."""
        return (await operators(self.home, project)).memory

    async def of(self, project: str, models: Models) -> Memories:
        """The banks of a project, with the embedder that its models have; chosen once per process."""
        key = (project, models.is_offline)
        if key not in self._opened:
            memories = await self.stack.enter_async_context(
                Memories.open(self.db, await models.embedder(), weights=self.weights)
            )
            self._opened.setdefault(key, memories)
        return self._opened[key]

    async def standing(
        self, run_id: str, hits: Sequence[Recalled], open_runs: dict[str, bool] | None = None
    ) -> list[Recalled]:
        """Those that stand for a run: of other runs, the claims only when these are completed.

        What a run claims may be rejected still; until it is released, main knows nothing of it. Whoever asks
        several times for one brief gives the same `open_runs`: what was found out is kept in it.
        """
        known = {} if open_runs is None else open_runs
        others = {hit.memory.source.run_id for hit in hits} - {run_id} - known.keys()
        if others:
            async with self.db.pool.connection() as conn:
                open_ones = await queries.not_completed(conn, sorted(others))
            known.update((other, other in open_ones) for other in others)
        return [
            hit
            for hit in hits
            if hit.memory.source.run_id == run_id
            or not known[hit.memory.source.run_id]
            or hit.memory.kind not in CLAIMS
            or hit.memory.speaker == PERSON
        ]


def told_of(failure: Exception) -> str:
    """What the log says of one of `FAILURES`: nothing of what a database says, which repeats its rows."""
    if isinstance(failure, FactoryError):
        return str(failure)
    return f"the database refused a statement ({type(failure).__name__})"


def telling(events: EventLog, run_id: str, why: str, key: str, *, team: str | None = None) -> Tell:
    """Writes into a run's chain what was taken back because of it."""

    async def tell(connection: Connection, taken: TakenBack) -> None:
        payload: JsonObject = {"ids": list(taken.ids), "restored": list(taken.restored), "why": why}
        await events.append(run_id, TAKEN_BACK, payload, team=team, key=key, conn=connection)

    return tell
