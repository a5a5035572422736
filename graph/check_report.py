"""What the checks of a run's merged whole said, in a form that people read: a fold over events, and lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict

from core.events import Event
from core.json import is_array, is_object
from workspace.checks.score import Score, score

_MOST_TICKS = 12
_MOST_LINE = 200


class TickSummary(BaseModel):
    """One thing that a check looked at."""

    model_config = ConfigDict(frozen=True)

    what: str
    passed: bool | None
    said: str


class CheckSummary(BaseModel):
    """The outcome of one check on the merged whole."""

    model_config = ConfigDict(frozen=True)

    name: str
    passed: bool | None
    """null where it was not run; the summary says why."""
    score: int
    weight: int
    idle: bool
    """Not run because the product has nothing of its kind."""
    summary: str
    ticks: list[TickSummary]
    details: list[str]
    before: list[str]
    """Faults that were there before the run."""
    artifacts: list[str]
    """Where the files lie that it made for people to look at."""


def summary_of(event: Event) -> CheckSummary:
    """The check that a `check.ran` event tells of; what older programs did not write is empty."""
    told: dict[str, Any] = event.payload
    ticks = [each for each in _list(told.get("ticks")) if is_object(each)]
    artifacts = [each for each in _list(told.get("artifacts")) if is_object(each)]
    return CheckSummary(
        name=str(told["name"]),
        passed=None if told["passed"] is None else bool(told["passed"]),
        score=int(told.get("score") or 0),
        weight=int(told.get("weight") or 0),
        idle=bool(told.get("idle")),
        summary=str(told.get("summary", "")),
        ticks=[_tick(each) for each in ticks[:_MOST_TICKS]],
        details=[str(each) for each in _list(told.get("details"))],
        before=[str(each) for each in _list(told.get("before"))],
        artifacts=[str(each.get("path", "")) for each in artifacts],
    )


def score_of(checks: Sequence[CheckSummary]) -> Score:
    """The score of the whole."""
    return score(checks)


def headline(checks: Sequence[CheckSummary]) -> str:
    """The score, what is in it and what is not, in one line; empty where nothing was checked."""
    if not checks:
        return ""
    total = score(checks)
    points = "no score" if total.points is None else f"score {total.points} of 100"
    ran = sum(check.passed is not None for check in checks)
    share = "" if total.ran == total.of else f", {total.ran} of {total.of} by weight"
    return f"{points} from {ran} check{'' if ran == 1 else 's'}{share}"


def not_run(checks: Sequence[CheckSummary]) -> list[str]:
    """The checks that were not run although there was something to look at, each with the reason."""
    missing = [check for check in checks if check.passed is None and not check.idle]
    return [f"{check.name} ({check.summary.removeprefix('not run: ')})" for check in missing]


def in_short(checks: Sequence[CheckSummary]) -> str:
    """A few lines for whoever decides: score, ticks, old faults, what was not run."""
    if not checks:
        return "No check was run on the merged whole."
    lines = [f"Checks: {headline(checks)}."]
    for check in checks:
        if check.passed is not None:
            lines.append(_line(f"  {'✔' if check.passed else '✘'} {check.name}: {check.summary}"))
    told = [
        f"  {check.name}: {tick.what}: {tick.said}"
        for check in checks
        for tick in check.ticks
        if tick.passed is None and tick.what in _FOR_WHO_DECIDES
    ]
    lines += [_line(each) for each in told]
    if missing := not_run(checks):
        lines.append("  not run: " + "; ".join(_line(each) for each in missing))
    if seen := [path for check in checks for path in check.artifacts]:
        lines.append("  to look at: " + ", ".join(seen))
    return "\n".join(lines)


_FOR_WHO_DECIDES = frozenset({"failed before the run too", "passed before and is gone"})


def _tick(told: dict[str, Any]) -> TickSummary:
    passed = told.get("passed")
    return TickSummary(
        what=str(told.get("what", "")),
        passed=None if passed is None else bool(passed),
        said=str(told.get("said", "")),
    )


def _list(value: object) -> list[Any]:
    return value if is_array(value) else []


def _line(text: str) -> str:
    return text if len(text) <= _MOST_LINE else text[: _MOST_LINE - 1] + "…"
