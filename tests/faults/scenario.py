"""One run of the small pipeline, driven by processes that may die, answered as a person would answer."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
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
    model_calls: frozenset[str]
    """The keys of the calls in the ledger."""
    deaths: int
    calls: int


async def play(
    settings: Mapping[str, Any],
    *,
    crash_at: str = "",
    trace: Path | None = None,
    requirement: str = "Small pages",
    pipeline: str = "full",
    approve_all: bool = False,
    kills_after: Sequence[float] = (),
    calls: Any = None,
) -> Ended:
    """Submit, drive and answer until the end.

    The first process dies at `crash_at`, where it passes there; or the first ones die after `kills_after`
    seconds each, wherever they are.
    """
    kills = list(kills_after)
    async with Factory.open(Settings(**settings)) as factory:
        run_id = await factory.submit(requirement, pipeline=pipeline, approve_all=approve_all)
        deaths, armed = 0, crash_at
        for _ in range(20 + len(kills)):
            after = kills.pop(0) if kills else None
            code = await asyncio.to_thread(
                worker.drive, settings, run_id, crash_at=armed, trace=trace, kill_after=after
            )
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
        return await ended(factory, run_id, deaths, calls() if calls else 0)


async def answer(factory: Factory, approval: Approval) -> None:
    """Answer as ANSWERS says; where nothing stands there, approve or give the default."""
    decision, text = ANSWERS.get(f"{approval.kind}/{approval.team}", ("approve", ""))
    await factory.answer(approval.id, decision, text or None, by="a test")  # pyright: ignore[reportArgumentType]


async def ended(factory: Factory, run_id: str, deaths: int, calls: int = 0) -> Ended:
    """What the run came to, its chain verified."""
    report = await verify(factory.db, run_id)
    assert report.ok, report
    summary = await factory.summary(run_id)
    repository = await factory.services.repository(run_id)
    events = await factory.events.read(run_id)
    async with factory.db.pool.connection() as conn:
        cursor = await conn.execute("SELECT kind, team, key FROM events WHERE run_id = %s", (run_id,))
        rows = [(row["kind"], row["team"], row["key"]) for row in await cursor.fetchall()]
        cursor = await conn.execute("SELECT key FROM model_calls WHERE run_id = %s", (run_id,))
        recorded = [row["key"] for row in await cursor.fetchall()]
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    twice = [row for row, count in Counter(row for row in rows if row[2]).items() if count > 1]
    assert not twice, f"events written twice: {twice}"
    return Ended(
        status=summary.status,
        stages=tuple((stage.team, stage.verdict, stage.attempts) for stage in summary.stages),
        tree=(await repository.product("refs/heads/main")) if summary.tag else "",
        events=frozenset(rows),
        statuses=tuple(str(e.payload["to"]) for e in events if e.kind == "run.status"),
        model_calls=frozenset(recorded),
        deaths=deaths,
        calls=calls,
    )
