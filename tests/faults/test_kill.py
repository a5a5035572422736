"""A run survives SIGKILL at any point and ends as the undisturbed one does."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.doubles.ollama_server import OllamaServer
from tests.faults import worker
from tests.faults.scenario import Ended, play
from tests.packs.brain import brain
from tests.sampling import some

PACKS = Path(__file__).parent.parent / "packs"
NODES = (
    *("assess", "plan", "brief", "work", "act", "peer_review", "report", "gate", "clarify", "ask_person"),
    *("heard", "escalate", "retain", "close", "check", "present", "propose", "release"),
)
INSIDE = (
    *("plan.decided", "brief.opened", "work.called", "act.acted", "act.snapshot", "clarify.called"),
    *("report.called", "retain.merged", "release.merged", "mail.posted"),
    *("brief.recalled", "retain.extracted", "retain.remembered", "retain.outdated", "memory.learned"),
)
POINTS = (*(f"{node}.{border}" for node in NODES for border in ("enter", "exit")), *INSIDE)
ELSEWHERE = ("event.append", "git", "spare.given", "spare.kept")
"""Points outside the graph: they have tests of their own."""

MOST_REPEATED = 4
"""Model calls that one death may repeat: a report's or a clarification's in each of two parallel stages."""


@pytest.fixture
def small(ollama_server: OllamaServer, factory_env: Mapping[str, str], tmp_path: Path) -> dict[str, Any]:
    ollama_server.brain = brain()
    return {
        "home": tmp_path / "home",
        "database_url": factory_env["FACTORY_DATABASE_URL"],
        "pack": "small",
        "pack_dirs": [PACKS],
        "ollama_url": ollama_server.url,
    }


_undisturbed: list[Ended] = []


@pytest.fixture
async def undisturbed(small: dict[str, Any], ollama_server: OllamaServer) -> Ended:
    """What the run comes to when nothing dies; found out once per test process."""
    if not _undisturbed:
        before = len(ollama_server.chats)
        _undisturbed.append(await play(small, calls=lambda: len(ollama_server.chats) - before))
    return _undisturbed[0]


def like(ended: Ended) -> Ended:
    """An end without what a death may change."""
    return replace(ended, deaths=0, calls=0)


async def test_the_small_pipeline_passes_every_point_that_is_tested(
    small: dict[str, Any], tmp_path: Path
) -> None:
    trace = tmp_path / "trace"
    ended = await play(small, trace=trace)
    assert ended.status == "completed"
    assert {stage[1] for stage in ended.stages} == {"pass", "skipped"}
    assert set(worker.points(trace)) == {*POINTS, *ELSEWHERE}


@pytest.mark.parametrize(
    "point",
    # Between the end of one node and the beginning of the next only a checkpoint is written.
    some(sorted(POINTS, key=lambda point: point.endswith(".exit")), of=8),
)
async def test_a_run_killed_there_ends_like_an_undisturbed_one(
    point: str, small: dict[str, Any], undisturbed: Ended, ollama_server: OllamaServer
) -> None:
    before = len(ollama_server.chats)
    ended = await play(small, crash_at=point, calls=lambda: len(ollama_server.chats) - before)
    assert ended.deaths == 1
    assert like(ended) == like(undisturbed)
    assert ended.calls <= undisturbed.calls + MOST_REPEATED


@pytest.mark.slow
async def test_a_run_killed_at_any_passage_of_any_point_ends_like_an_undisturbed_one(
    small: dict[str, Any], undisturbed: Ended, tmp_path: Path
) -> None:
    trace = tmp_path / "trace"
    await play(small, trace=trace)
    for point, passages in Counter(worker.points(trace)).items():
        for passage in range(2, passages + 1):
            ended = await play(small, crash_at=f"{point}#{passage}")
            assert like(ended) == like(undisturbed), f"{point}#{passage}"


def random_points(trace: Path, count: int, seed: int) -> list[str]:
    """Random moments of a traced run, as points with the passage at which to die."""
    seen: Counter[str] = Counter()
    moments: list[str] = []
    for point in worker.points(trace):
        seen[point] += 1
        moments.append(f"{point}#{seen[point]}")
    return random.Random(seed).sample(moments, count)
