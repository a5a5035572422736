"""What a check says."""

from dataclasses import dataclass
from typing import Literal

from core.errors import BadInput
from workspace.errors import WorkspaceError

CheckName = Literal["tests", "lint", "secrets", "links", "json"]

MOST_DETAILS = 50


class CheckUnknown(WorkspaceError, BadInput):
    """There is no check by that name."""


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


def found(name: str, problems: list[str], clean: str, *, each: int = 10) -> CheckResult:
    """The result of a check that looks for problems: it passes where there are none."""
    if not problems:
        return CheckResult(name, True, 100, clean, ())
    what = "problem" if len(problems) == 1 else "problems"
    score = max(0, 100 - each * len(problems))
    return CheckResult(name, False, score, f"{len(problems)} {what}", tuple(problems[:MOST_DETAILS]))


def not_run(name: str, why: str) -> CheckResult:
    """The result of a check that could not be run."""
    return CheckResult(name, None, 0, f"not run: {why}", ())
