"""What a check says."""

from collections.abc import Sequence
from dataclasses import dataclass

from core.errors import BadInput
from workspace.errors import WorkspaceError
from workspace.output import plain

MOST_DETAILS = 50
MOST_BEFORE = 20
_LONGEST = 400


class CheckUnknown(WorkspaceError, BadInput):
    """There is no check by that name."""


@dataclass(frozen=True, slots=True)
class Tick:
    """One thing that a check looked at."""

    what: str
    passed: bool | None
    """None where it says something without a verdict, or could not be looked at."""
    said: str = ""


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file that a check made for people to look at."""

    name: str
    """A file name, without folders."""
    content: bytes


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The evidence of one check."""

    name: str
    passed: bool | None
    """None where the check was not run; the summary says why."""
    score: int
    """0 to 100."""
    summary: str
    """One line."""
    details: tuple[str, ...]
    """What to mend, one place each, as `path:line: what`; at most 50."""
    seconds: float = 0.0
    ticks: tuple[Tick, ...] = ()
    before: tuple[str, ...] = ()
    """Faults that were there before the run: named, never held against it; at most 20."""
    idle: bool = False
    """Not run because there is nothing of its kind in the product, so nothing is missing without it."""
    weight: int = 0
    """What it counts for in the score of the whole."""
    artifacts: tuple[Artifact, ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault at one place."""

    path: str
    line: int
    what: str
    mark: str = ""
    """What else tells this fault from another one of the same words in the same file."""
    column: int = 0
    """Counted from 1; 0 where it is not known."""

    @property
    def told(self) -> str:
        """As `path:line: what`, in one line of bounded length."""
        place = f"{self.line}:{self.column}" if self.column else str(self.line)
        return one_line(f"{self.path}:{place}: {self.what}")


@dataclass(frozen=True, slots=True)
class Findings:
    """What a check found that looks for faults, before anybody asks which of them are old."""

    problems: Sequence[Finding]
    clean: str
    """What is said where there is no fault."""
    each: int = 10
    """Points that one fault costs."""
    ticks: tuple[Tick, ...] = ()
    """What else is to be told."""
    artifacts: tuple[Artifact, ...] = ()


def one_line(text: str) -> str:
    """Text of a tool as one line, harmless to show."""
    return " ".join(plain(text).split())[:_LONGEST]


def not_run(name: str, why: str) -> CheckResult:
    """The result of a check that could not be run."""
    return CheckResult(name, None, 0, f"not run: {one_line(why)}", ())


def idle(name: str, why: str) -> CheckResult:
    """The result of a check that has nothing to look at in this product."""
    return CheckResult(name, None, 0, f"not run: {one_line(why)}", (), idle=True)
