"""What has been written down about runs, for commands that only read.

They need the database and nothing else: no model is looked for, no sandbox tested, and LangGraph, which takes
a second to load, stays away.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from core.database import Database
from core.errors import BadInput, NotFound
from core.events import EventLog
from core.hub import Hub
from core.settings import Settings
from governance.approvals import Approvals
from graph import turns
from graph.progress import Progress
from graph.runs import Run, Runs
from graph.summary import RunSummary, summarise
from memory.audit import chains
from models.spending import caps

SCRIPTED = "offline model: scripted output"


class ReadOnly(BadInput):
    """The run was made elsewhere, and can only be read."""


@dataclass(frozen=True)
class Records:
    """An open database, read as runs."""

    db: Database
    events: EventLog
    hub: Hub
    runs: Runs
    approvals: Approvals

    async def summary(self, run: Run) -> RunSummary:
        """The run in one object, the same that `Factory.summary` gives."""
        progress = Progress.of(await self.events.read(run.id))
        budgets = await caps.of_run(self.db, run.id, run.project)
        behind = await turns.behind(self.db, run.id) if run.after else []
        return summarise(run, progress, await self.approvals.pending(run.id), budgets, behind)

    async def run(self, name: str) -> Run:
        """The run that an id, its unique beginning, or `last` stands for; raises NotFound."""
        try:
            return await self.runs.get(await self.runs.find(name))
        except NotFound:
            for chain in await chains.imported(self.db):
                if chain.run_id.startswith(name):
                    raise ReadOnly(
                        f"Run {chain.run_id} was imported: its log is here, and nothing else of it",
                        todo=f"Walk through it with: factory replay {chain.run_id}",
                    ) from None
            raise


@asynccontextmanager
async def opened() -> AsyncGenerator[Records]:
    """The records of the factory that the settings name."""
    async with Database.open(Settings.load()) as db:
        events, hub = EventLog(db), Hub(db)
        try:
            yield Records(db, events, hub, Runs(db, events), Approvals(db, events))
        finally:
            await hub.close()


def announcements(run: Run) -> list[str]:
    """What a reader of this run must know: whether a script wrote it."""
    return [SCRIPTED] if run.model == "offline" else []
