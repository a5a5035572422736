"""Mistakes in Python that need no running: ruff with our own rules, whatever the project configures."""

import re
from pathlib import Path

from workspace.checks.result import CheckResult, found, not_run
from workspace.sandbox import Sandbox

# What is wrong, not what is a matter of style: syntax, undefined and unused names, comparisons that do not
# mean what they say, mutable defaults, and what pylint calls errors.
_RULES = "E4,E7,E9,F,PLE,B006,B015,B018"
_IGNORED = "E402"  # tests that put a folder on the path import after it
_FINDING = re.compile(r"^\S.*:\d+:\d+: ")


async def check(tree: Path, sandbox: Sandbox, timeout: float) -> CheckResult:
    """Passes where ruff finds nothing."""
    options = ("--isolated", "--no-cache", "--target-version=py311", "--output-format=concise")
    words = ["ruff", "check", *options, f"--select={_RULES}", f"--ignore={_IGNORED}", "."]
    ran = await sandbox.run(words, tree, policy="read", timeout=timeout)
    if ran.ended_by != "exit":
        return CheckResult("lint", False, 0, f"ruff passed the limit of {ran.ended_by}", ())
    problems = [line for line in ran.output.splitlines() if _FINDING.match(line)]
    if ran.exit_code not in (0, 1) or (ran.exit_code == 1 and not problems):
        return not_run("lint", ran.output.strip()[-300:] or f"ruff ended with {ran.exit_code}")
    return found("lint", problems, "nothing found by ruff", each=5)
