"""The whole pipeline, all seventeen teams, killed at random moments: it ends as when nothing happens.

Stages of one wave run side by side, so that the n-th passage of a point may be another stage's the next
time. That is wanted: the moment is random, the end must be the same.
"""

from __future__ import annotations

import os
import pickle
import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from tests.faults import worker
from tests.faults.scenario import Ended, play
from tests.faults.test_kill import random_points
from workspace.locks import FileLock

pytestmark = pytest.mark.slow  # each plays all seventeen stages; test_kill.py has every point of a small run

SEED = 20
MOMENTS = 20
REQUIREMENT = (Path(__file__).parents[2] / "examples" / "lending-library.md").read_text()
SIDE_BY_SIDE = 4
"""Stages of the widest wave: so many nodes one death may interrupt."""


@pytest.fixture
def offline(factory_env: Mapping[str, str], tmp_path: Path) -> dict[str, Any]:
    return {
        "home": tmp_path / "home",
        "database_url": factory_env["FACTORY_DATABASE_URL"],
        "model": "offline",
    }


@pytest.fixture
async def undisturbed(
    offline: dict[str, Any], tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Ended, Path, float]:
    """What the run comes to when nothing dies, what it passes, and its seconds; found out once, by one of
    the test processes for all."""
    # Under xdist each process has a folder of its own in the session's; alone, the parent is every session's.
    own = tmp_path_factory.getbasetemp()
    common = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    result, trace = common / "undisturbed.pickle", common / "undisturbed.trace"
    async with FileLock(common / "undisturbed.lock").held():
        if not result.exists():
            trace.unlink(missing_ok=True)
            begun = monotonic()
            settings = {**offline, "home": tmp_path / "undisturbed"}
            ended = await play(settings, requirement=REQUIREMENT, approve_all=True, trace=trace)
            result.write_bytes(pickle.dumps((ended, monotonic() - begun)))
        ended, seconds = pickle.loads(result.read_bytes())
    return ended, trace, seconds


def like(ended: Ended) -> Ended:
    """An end without what a death may change."""
    return replace(ended, deaths=0, calls=0)


def entered(trace: Path) -> int:
    """How many nodes were begun. Not those that only wait for a person: they begin anew at every resume."""
    seen = Counter(worker.points(trace))
    return sum(n for point, n in seen.items() if point.endswith(".enter") and point != "ask_person.enter")


async def play_and_compare(
    offline: dict[str, Any], undisturbed: tuple[Ended, Path, float], trace: Path, **how: Any
) -> Ended:
    expected, calm, _ = undisturbed
    assert expected.status == "completed"
    assert [verdict for _, verdict, _ in expected.stages] == ["pass"] * 17
    ended = await play(offline, requirement=REQUIREMENT, approve_all=True, trace=trace, **how)
    assert ended.statuses == expected.statuses
    assert ended.stages == expected.stages
    assert ended.events == expected.events
    assert ended.model_calls == expected.model_calls
    assert like(ended) == like(expected)
    assert entered(trace) <= entered(calm) + SIDE_BY_SIDE * ended.deaths
    return ended


@pytest.mark.parametrize("number", range(MOMENTS))
async def test_the_full_pipeline_killed_at_a_random_moment_ends_like_an_undisturbed_one(
    number: int, offline: dict[str, Any], undisturbed: tuple[Ended, Path, float], tmp_path: Path
) -> None:
    moment = random_points(undisturbed[1], MOMENTS, SEED)[number]
    print(f"killed at {moment}")
    ended = await play_and_compare(offline, undisturbed, tmp_path / "trace", crash_at=moment)
    assert ended.deaths == 1


@pytest.mark.parametrize("kills", [3, 8, 16])
async def test_the_full_pipeline_killed_again_and_again_from_outside_ends_like_an_undisturbed_one(
    kills: int, offline: dict[str, Any], undisturbed: tuple[Ended, Path, float], tmp_path: Path
) -> None:
    """Between any two instructions: in a write, in git, in the sandbox, in a commit of the database."""
    pause = undisturbed[2] / kills
    dice = random.Random(SEED + kills)
    delays = [dice.uniform(0.2 * pause, 1.2 * pause) for _ in range(kills)]
    ended = await play_and_compare(offline, undisturbed, tmp_path / "trace", kills_after=delays)
    assert 0 < ended.deaths <= kills
