"""The project's own tests, run by pytest in the sandbox, with the coverage of `src`."""

import asyncio
import re
import secrets
from pathlib import Path

from workspace.checks.result import MOST_DETAILS, CheckResult, not_run
from workspace.files import Files
from workspace.sandbox import Sandbox

_COUNT = re.compile(r"(\d+) (passed|failed|errors?|skipped|xfailed|xpassed)\b")
_SUMMARY = re.compile(r"^(=+ )?(\d+ \w+(, )?)+.* in [\d.]+s", re.MULTILINE)
_PLUGINS = re.compile(r"asyncio_mode|mark\.(asyncio|anyio)|pytest_asyncio|pytest_plugins|addopts")
_NO_TESTS, _USAGE, _INTERNAL = 5, 4, 3


async def check(tree: Path, sandbox: Sandbox, timeout: float) -> CheckResult:
    """Passes where pytest ran at least one test and none failed."""
    mark = f"::{secrets.token_hex(8)}::"
    measured = await asyncio.to_thread((tree / "src").is_dir)
    environment = {"COVERAGE_FILE": "/tmp/coverage"}  # noqa: S108  # the sandbox's own
    if not await asyncio.to_thread(_wants_plugins, Files(tree)):
        # Loading every plugin of our own environment takes seconds, and none of them is the project's.
        environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    pytest = "pytest -q --no-header --tb=short -p no:cacheprovider"
    command = f"python -m {pytest}; code=$?; echo '{mark}'"
    if measured:
        run = f"python -m coverage run --source=src -m {pytest}"
        total = "python -m coverage report --format=total 2>/dev/null"
        command = f"{run}; code=$?; echo '{mark}'; {total}"
    ran = await sandbox.run(f"{command}; exit $code", tree, timeout=timeout, environment=environment)
    printed, ended, rest = ran.output.partition(mark)
    if ran.ended_by != "exit" or not ended:
        limit = f"they passed the limit of {'time' if ran.ended_by == 'timeout' else ran.ended_by}"
        why = limit if ran.ended_by != "exit" else "pytest was ended from within"
        return CheckResult("tests", False, 0, f"the tests did not end: {why}", _tail(printed))
    if ran.exit_code == 127 or "No module named pytest" in printed:
        return not_run("tests", "pytest is not there")
    return _verdict(ran.exit_code, printed, rest.strip() if measured else "")


def _verdict(code: int, printed: str, coverage: str) -> CheckResult:
    if code == _NO_TESTS:
        return CheckResult("tests", False, 0, "no tests were found", ())
    summaries = list(_SUMMARY.finditer(printed))
    said_last = summaries[-1][0] if summaries else ""
    counts = {what.rstrip("s"): int(number) for number, what in _COUNT.findall(said_last)}
    passed = counts.get("passed", 0)
    bad = counts.get("failed", 0) + counts.get("error", 0)
    if code != 0 or bad:
        score = min(99, 100 * passed // (passed + bad)) if bad else 0
        said = f"{passed} passed, {bad} failed" if summaries else f"pytest ended with {code}"
        return CheckResult("tests", False, score, said, _tail(printed))
    if not passed:
        return CheckResult("tests", False, 0, "no test passed: pytest ran none to its end", _tail(printed))
    covered = f", {coverage} % of src covered" if coverage.isdecimal() else ""
    skipped = f", {counts['skipped']} skipped" if counts.get("skipped") else ""
    return CheckResult("tests", True, 100, f"{passed} passed{skipped}{covered}", ())


def _tail(printed: str) -> tuple[str, ...]:
    return tuple(line for line in printed.splitlines() if line.strip())[-MOST_DETAILS:]


def _wants_plugins(files: Files) -> bool:
    configured = ("pyproject.toml", "pytest.ini", "tox.ini", "setup.cfg", "**/conftest.py", "**/test_*.py")
    return any(files.search(_PLUGINS.pattern, pattern) for pattern in configured)
