"""One run of the small pipeline, driven by processes that may die, answered as a person would answer."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.audit import verify
from core.settings import Settings
from governance.approvals import Approval
from graph.lifecycle import ENDED
from graph.runner import Factory
from tests.faults import worker

ANSWERS: Mapping[str, tuple[str, str]] = {
    "clarification/maker": ("respond", "yes, extra"),
    "escalation/painter": ("respond", "use the blue paint"),
    "review/None": ("approve", ""),
}


@dataclass(frozen=True)
class Ended:
    """What a run came to, in what must not depend on how often it died."""

    status: str
    stages: tuple[tuple[str, str | None, int], ...]
    tree: str
    events: frozenset[tuple[str, str | None, str | None]]
    statuses: tuple[str, ...]
    deaths: int
    calls: int


async def play(
    settings: Mapping[str, Any],
    *,
    crash_at: str = "",
    trace: Path | None = None,
    requirement: str = "Small pages",
    pipeline: str = "full",
    calls: Any = None,
) -> Ended:
    """Submit, drive and answer until the end. The first process dies at `crash_at`, where it passes there."""
    async with Factory.open(Settings(**settings)) as factory:
        run_id = await factory.submit(requirement, pipeline=pipeline)
        deaths, armed = 0, crash_at
        for _ in range(20):
            code = await asyncio.to_thread(worker.drive, settings, run_id, crash_at=armed, trace=trace)
            if code == -9:
                deaths, armed = deaths + 1, ""
                continue
            assert code == 0, f"the driving process ended with {code}"
            run = await factory.services.run(run_id)
            if run.status in ENDED:
                break
            waiting = await factory.approvals.pending(run_id)
            assert waiting, f"the run is {run.status} and waits for nobody"
            for approval in waiting:
                await answer(factory, approval)
        report = await verify(factory.db, run_id)
        assert report.ok, report
        return await _ended(factory, run_id, deaths, calls() if calls else 0)


async def answer(factory: Factory, approval: Approval) -> None:
    """Answer as ANSWERS says; where nothing stands there, approve or give the default."""
    decision, text = ANSWERS.get(f"{approval.kind}/{approval.team}", ("approve", ""))
    await factory.answer(approval.id, decision, text or None, by="a test")  # pyright: ignore[reportArgumentType]


async def _ended(factory: Factory, run_id: str, deaths: int, calls: int) -> Ended:
    summary = await factory.summary(run_id)
    repository = await factory.services.repository(run_id)
    events = await factory.events.read(run_id)
    async with factory.db.pool.connection() as conn:
        cursor = await conn.execute("SELECT kind, team, key FROM events WHERE run_id = %s", (run_id,))
        rows = [(row["kind"], row["team"], row["key"]) for row in await cursor.fetchall()]
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    twice = [row for row, count in Counter(row for row in rows if row[2]).items() if count > 1]
    assert not twice, f"events written twice: {twice}"
    return Ended(
        status=summary.status,
        stages=tuple((stage.team, stage.verdict, stage.attempts) for stage in summary.stages),
        tree=(await repository.tree("refs/heads/main")) if summary.tag else "",
        events=frozenset(rows),
        statuses=tuple(str(e.payload["to"]) for e in events if e.kind == "run.status"),
        deaths=deaths,
        calls=calls,
    )
