"""Mistakes in Python that need no running: ruff with our own rules, whatever the project configures."""

import re

from workspace.checks.result import CheckResult, Finding, Findings, not_run
from workspace.checks.scene import Report, Scene

# What is wrong, not what is a matter of style: syntax, undefined and unused names, comparisons that do not
# mean what they say, mutable defaults, and what pylint calls errors.
_RULES = "E4,E7,E9,F,PLE,B006,B015,B018"
_IGNORED = "E402"  # tests that put a folder on the path import after it
_FINDING = re.compile(r"^(?P<path>\S.*?):(?P<line>\d+):(?P<what>\d+: .*)$")


async def look(scene: Scene) -> Report:
    """What ruff finds."""
    options = ("--isolated", "--no-cache", "--target-version=py311", "--output-format=concise")
    words = ["ruff", "check", *options, f"--select={_RULES}", f"--ignore={_IGNORED}", "."]
    ran = await scene.sandbox.run(
        words, scene.tree, policy="read", timeout=scene.timeout, allowance=scene.room("read")
    )
    if ran.ended_by != "exit":
        return CheckResult("lint", False, 0, f"ruff passed the limit of {ran.ended_by}", ())
    told = [match for line in ran.output.splitlines() if (match := _FINDING.match(line))]
    if ran.exit_code not in (0, 1) or (ran.exit_code == 1 and not told):
        return not_run("lint", ran.output.strip()[-300:] or f"ruff ended with {ran.exit_code}")
    return Findings([_finding(match) for match in told], "nothing found by ruff", each=5)


def _finding(match: re.Match[str]) -> Finding:
    column, _, what = match["what"].partition(": ")
    return Finding(match["path"], int(match["line"]), what, column=int(column))
