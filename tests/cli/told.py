"""A run as it stands in the log, without a model or a pipeline: what the reading commands show."""

import asyncio
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from core.database import Database
from core.events import EventLog
from core.settings import Settings
from governance.approvals import Approvals
from graph.lifecycle import RunStatus, move
from graph.runs import Runs

HOSTILE = "\x1b[2J\x1b]0;owned\x07[red]hostile[/red]"

PROGRAM = (sys.executable, "-c", "from cli.main import main; main()")


Told = Sequence[tuple[str, str | None, Mapping[str, Any]]]

PLANNED: Told = [
    ("governance.assessed", None, {"risk": "LOW", "reasons": [HOSTILE]}),
    (
        "plan.decided",
        None,
        {
            "title": f"Tools {HOSTILE}",
            "stages": ["business_analysis", "backend_engineering"],
            "skipped": {"frontend_engineering": "no page"},
            "names": {
                "business_analysis": "Business Analysis",
                "backend_engineering": f"Backend {HOSTILE}",
                "frontend_engineering": "Frontend Engineering",
            },
            "waves": {"business_analysis": 0, "backend_engineering": 1, "frontend_engineering": 1},
        },
    ),
    ("stage.skipped", "frontend_engineering", {"reason": f"no page {HOSTILE}"}),
    ("stage.started", "business_analysis", {"round": 1, "name": "Business Analysis"}),
    (
        "model.called",
        "business_analysis",
        {
            "alias": "factory/fast",
            "model": "scripted",
            "call": "work",
            "input_tokens": 1000,
            "output_tokens": 234,
            "cost_usd": 0.0,
            "seconds": 0.5,
        },
    ),
    ("action.called", "business_analysis", {"tool": "write_file", "summary": HOSTILE}),
    (
        "stage.ended",
        "business_analysis",
        {"verdict": "pass", "attempts": 1, "seconds": 2.0, "tokens": 1234, "cost_usd": 0.0},
    ),
    ("stage.started", "backend_engineering", {"round": 1, "name": "Backend Engineering"}),
]


def tell_run(settings: Settings, statuses: Sequence[RunStatus], told: Told = PLANNED) -> str:
    """Write a run down that has gone through `statuses` and `told`; returns its id."""

    async def write() -> str:
        async with Database.open(settings) as database:
            events = EventLog(database)
            run_id = await Runs(database, events).create(
                f"A list of tools {HOSTILE}",
                project="tools",
                repository=Path("/srv/tools"),
                pipeline="core",
                model="offline",
                approve_all=False,
            )
            for status in statuses:
                await move(database, events, run_id, status)
            for kind, team, payload in told:
                await events.append(run_id, kind, payload, team=team)
            if statuses and statuses[-1] == "awaiting_input":
                await Approvals(database, events).request(
                    run_id,
                    kind="review",
                    key="review/1",
                    title="Review",
                    question="Is it right?",
                    allowed=("approve", "reject"),
                )
            if statuses and statuses[-1] in {"completed", "failed", "rejected", "cancelled"}:
                await events.append(run_id, "run.ended", {"status": statuses[-1]})
            return run_id

    return asyncio.run(write())
