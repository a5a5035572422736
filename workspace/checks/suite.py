"""What a suite of tests said, whatever program ran it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from workspace.checks.result import MOST_DETAILS, Tick

Outcome = Literal["passed", "failed", "skipped"]

MOST_CASES: Final = 100_000
"""Tests of a suite that are told apart; what is beyond is not read."""


@dataclass(frozen=True, slots=True)
class Suite:
    """The outcome of a suite."""

    cases: Mapping[str, Outcome] = field(default_factory=dict[str, Outcome])
    """Each test by name."""
    broken: str = ""
    """Why its outcome proves nothing: it had no end, its report cannot be read, nothing ran."""
    exit_code: int = 0
    tail: tuple[str, ...] = ()
    """The last lines that it printed."""
    said: str = ""
    """What is added to the summary, such as the coverage."""
    reasons: Mapping[str, str] = field(default_factory=dict[str, str])
    """Why a test failed, in a line, where its report says so."""
    ticks: tuple[Tick, ...] = ()

    def count(self, outcome: Outcome) -> int:
        """How many tests ended so."""
        return sum(each == outcome for each in self.cases.values())

    def named(self, outcome: Outcome) -> frozenset[str]:
        """The tests that ended so."""
        return frozenset(name for name, each in self.cases.items() if each == outcome)


def tail_of(printed: str) -> tuple[str, ...]:
    """The last lines that are not empty."""
    return tuple(line[:2000] for line in printed.splitlines() if line.strip())[-MOST_DETAILS:]
