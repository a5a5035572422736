"""The Test Anything Protocol, versions 12 to 14, as test programs of many languages print it."""

import re

from workspace.checks.result import one_line
from workspace.checks.suite import MOST_CASES, Outcome, Suite

_RESULT = re.compile(
    r"^\s{0,200}(?P<bad>not )?ok\b\s*(?P<number>\d*)\s*(?:- )?(?P<name>[^#]*)(?:#\s*(?P<mark>.*))?$"
)
_PLAN = re.compile(r"^1\.\.(\d{1,9})\b(?P<rest>.*)$")
_LONGEST = 2_000


def read(printed: str) -> Suite:
    """The suite that the lines tell of, tests within tests too; `broken` where they tell but half."""
    cases: dict[str, Outcome] = {}
    planned: int | None = None
    on_top = 0
    inside = False
    for line in printed.splitlines():
        line = line[:_LONGEST]
        if inside or line.strip() == "---":  # a diagnosis in YAML, which may hold anything
            inside = line.strip() != "..."
            continue
        if line.startswith("Bail out!"):
            return Suite(cases, broken=f"the tests gave up: {one_line(line)}")
        if plan := _PLAN.match(line):
            planned = int(plan[1])
        elif result := _RESULT.match(line):
            if len(cases) >= MOST_CASES:
                return Suite(cases, broken=f"there are more than {MOST_CASES} tests")
            on_top += not line[0].isspace()
            name = one_line(result["name"]) or f"test {result['number'] or len(cases) + 1}"
            if cases.get(name) != "failed":  # several of one name: one that failed counts
                cases[name] = _outcome(bool(result["bad"]), result["mark"] or "")
    if planned is not None and planned != on_top:
        return Suite(cases, broken=f"{planned} tests were planned and {on_top} came")
    if planned is None:
        return Suite(cases, broken="there is no plan (1..N) in its output, so it may not be all")
    return Suite(cases)


def _outcome(bad: bool, mark: str) -> Outcome:
    mark = mark.strip().lower()
    if mark.startswith("skip") or (bad and mark.startswith("todo")):
        return "skipped"
    return "failed" if bad else "passed"
