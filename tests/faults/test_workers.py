"""Three workers, and something happens to one of them: every run ends once, as if nothing had happened."""

from __future__ import annotations

import random
from functools import cache

import pytest

from tests.faults.crew import HAPPENINGS
from tests.faults.playing import Place, compare

MOMENTS = 100
BATCH = 5

QUICK = "stopped past its lease"
"""What is tried each time; the others take their time."""


@pytest.mark.parametrize(
    "what", [what if what == QUICK else pytest.param(what, marks=pytest.mark.slow) for what in HAPPENINGS]
)
async def test_a_run_ends_as_undisturbed_when_its_worker_is(what: str, place: Place) -> None:
    happens, lines = HAPPENINGS[what]
    played = await compare(place, happens, seed=1, lines=lines)
    assert played.ended.status == "completed"
    assert played.overtaken


@cache
def happenings() -> list[str]:
    """What happens at each moment: each kind equally often, in an order that chance made."""
    drawn = [list(HAPPENINGS)[n % len(HAPPENINGS)] for n in range(MOMENTS)]
    random.Random(6).shuffle(drawn)
    return drawn


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, MOMENTS, BATCH))
async def test_at_a_hundred_random_moments(first: int, place: Place) -> None:
    for seed in range(first, first + BATCH):
        happens, lines = HAPPENINGS[happenings()[seed]]
        await compare(place, happens, seed, lines=lines)
