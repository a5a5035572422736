"""One number for the whole: the mean of what the checks scored, by weight, and what is not in it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol


class Scored(Protocol):
    """What is asked of a check's outcome."""

    @property
    def passed(self) -> bool | None: ...
    @property
    def score(self) -> int: ...
    @property
    def weight(self) -> int: ...
    @property
    def idle(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Score:
    """How good the whole is, as far as it was looked at."""

    points: int | None
    """0 to 100; None where nothing was run."""
    ran: int
    """The weight of the checks that were run."""
    of: int
    """The weight of those that there was something to look at for."""


def score(results: Iterable[Scored]) -> Score:
    """The weighted mean of the checks that were run, rounded down, so that 100 means that all of it holds.

    A check that was not run adds nothing: its weight is missing from `ran` and, unless it has nothing to look
    at in this product, stands in `of`.
    """
    points = ran = of = 0
    for result in results:
        of += 0 if result.idle else result.weight
        if result.passed is not None:
            ran += result.weight
            points += result.weight * result.score
    return Score(points // ran if ran else None, ran, of)
