"""A run whose release meets what another run released survives SIGKILL at any point of the repair."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.settings import Settings
from graph.lifecycle import ENDED
from graph.runner import Factory
from tests.doubles.ollama_server import OllamaServer
from tests.faults import worker
from tests.faults.scenario import Ended, ended
from tests.graph.test_reconcile import BASE, LOG, appending, commit
from tests.packs.brain import RULES, brain
from tests.sampling import some

PACKS = Path(__file__).parent.parent / "packs"
POINTS = (
    *(f"{node}.{border}" for node in ("look", "repair", "settle") for border in ("enter", "exit")),
    "merge.taken_in",
)
INNER = ("brief.exit", "act.exit", "gate.exit", "retain.exit", "close.exit", "check.exit", "release.merged")
"""Points that the run has passed before; here they are hit in the stage of the repair and after it."""


@pytest.fixture
def small(ollama_server: OllamaServer, factory_env: Mapping[str, str], tmp_path: Path) -> dict[str, Any]:
    ollama_server.brain = brain({**RULES, "scout/work": appending})
    return {
        "home": tmp_path / "home",
        "database_url": factory_env["FACTORY_DATABASE_URL"],
        "pack": "small",
        "pack_dirs": [PACKS],
        "ollama_url": ollama_server.url,
    }


async def play(
    settings: Mapping[str, Any], crash_at: str = "", trace: Path | None = None
) -> tuple[Ended, str]:
    """Two runs to their reviews, one released; then the other, whose first process dies at `crash_at`."""
    async with Factory.open(Settings(**settings)) as factory:
        project = await factory.services.workspace.project("shop")
        commit(project.path, LOG, BASE)
        runs = [await factory.submit(f"Add {n}", project="shop", pipeline="one") for n in ("one", "two")]
        reviews = [(await factory.drive(run)).waiting[0] for run in runs]
        for review in reviews:
            await factory.answer(review.id, "approve", None, by="a test")
        assert (await factory.drive(runs[0])).status == "completed"
        deaths, armed = 0, crash_at
        for _ in range(8):
            code = await asyncio.to_thread(worker.drive, settings, runs[1], crash_at=armed, trace=trace)
            if code == -9:
                deaths, armed = deaths + 1, ""
                continue
            assert code == 0
            if (await factory.services.run(runs[1])).status in ENDED:
                break
            for approval in await factory.approvals.pending(runs[1]):
                await factory.answer(approval.id, "approve", None, by="a test")
        shown = subprocess.run(
            ["git", "-C", str(project.path), "show", f"main:{LOG}"],
            check=True,
            capture_output=True,
            text=True,
        )
        return await ended(factory, runs[1], deaths), shown.stdout


_undisturbed: list[Ended] = []


@pytest.fixture
async def undisturbed(small: dict[str, Any], tmp_path: Path) -> Ended:
    if not _undisturbed:
        trace = tmp_path / "trace"
        calm, text = await play({**small, "home": tmp_path / "calm"}, trace=trace)
        assert calm.status == "completed"
        assert text == f"{BASE}- one\n- two\n"
        assert {*POINTS, *INNER} <= set(worker.points(trace))
        _undisturbed.append(calm)
    return _undisturbed[0]


@pytest.mark.parametrize("point", some([*INNER, *POINTS], of=8))
async def test_a_run_killed_while_a_conflict_is_repaired_ends_like_an_undisturbed_one(
    point: str, small: dict[str, Any], undisturbed: Ended, tmp_path: Path
) -> None:
    died, text = await play(small, crash_at=point)
    assert died.deaths == 1
    assert text == f"{BASE}- one\n- two\n"
    assert replace(died, deaths=0) == replace(undisturbed, deaths=0)
