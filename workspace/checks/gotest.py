"""What `go test -json` prints: one JSON object a line."""

import json
from typing import Any

from core.json import is_object
from workspace.checks.result import one_line
from workspace.checks.suite import MOST_CASES, Outcome, Suite

_ENDED: dict[str, Outcome] = {"pass": "passed", "fail": "failed", "skip": "skipped"}
_LONGEST = 20_000


def read(printed: str) -> Suite:
    """The suite that the lines tell of; lines of other programs between them are passed over."""
    cases: dict[str, Outcome] = {}
    packages: dict[str, Outcome] = {}
    reasons: dict[str, str] = {}
    for line in printed.splitlines():
        event = _event(line)
        package, test, action = event.get("Package"), event.get("Test"), event.get("Action")
        if not isinstance(package, str) or not isinstance(action, str):
            continue
        name = one_line(f"{package}::{test}" if isinstance(test, str) else package)
        if len(cases) >= MOST_CASES or len(reasons) >= MOST_CASES:
            return Suite(cases, broken=f"there are more than {MOST_CASES} tests")
        if action == "output" and isinstance(test, str):
            said = one_line(str(event.get("Output", "")))
            if said and not said.startswith(("=== ", "--- ")):
                reasons[name] = said  # the newest line is the one that failed it
        elif action in _ENDED:
            (cases if isinstance(test, str) else packages)[name] = _ENDED[action]
    told = {name.partition("::")[0] for name, outcome in cases.items() if outcome == "failed"}
    for package, outcome in packages.items():
        if outcome == "failed" and package not in told:
            cases[package] = "failed"  # it was not built, or ended between its tests
    if not cases:
        return Suite(broken="go test -json told of no test")
    return Suite(cases, reasons={name: why for name, why in reasons.items() if cases.get(name) == "failed"})


def _event(line: str) -> dict[str, Any]:
    if not line.startswith("{") or len(line) > _LONGEST:
        return {}
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return value if is_object(value) else {}
