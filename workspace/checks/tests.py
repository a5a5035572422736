"""The project's own tests, run by pytest in the sandbox, with the coverage of the product's code."""

import asyncio
import secrets
import shlex
from dataclasses import replace

from workspace.checks import junit, plugins, python
from workspace.checks.result import Tick, idle, not_run
from workspace.checks.scene import Report, Scene
from workspace.checks.suite import Suite, tail_of

_NO_TESTS, _INTERRUPTED, _INTERNAL, _USAGE = 5, 2, 3, 4
_REPORT = "/tmp/report.xml"  # noqa: S108  # the sandbox's own
_PYTEST = f"pytest -q --no-header --tb=short -p no:cacheprovider -o junit_logging=no --junit-xml={_REPORT}"


async def look(scene: Scene) -> Report:
    """Run every test, and tell which passed."""
    files = scene.files
    if scene.settings.checks and not await asyncio.to_thread(python.has_python, files):
        return idle("tests", "there is no Python here; project.toml declares how this product is tested")
    sources = await asyncio.to_thread(python.sources, files)
    environment = {"COVERAGE_FILE": "/tmp/coverage", **await asyncio.to_thread(plugins.environment, files)}  # noqa: S108
    mark = f"::{secrets.token_hex(8)}::"
    run, total = f"python -m {_PYTEST}", "true"
    if sources:
        run = f"python -m coverage run {_measured(sources)} -m {_PYTEST}"
        total = "python -m coverage report --format=total 2>/dev/null"
    ran = await scene.sandbox.run(
        f"{run}; code=$?; echo '{mark}'; {total}; echo '{mark}'; cat {_REPORT} 2>/dev/null; exit $code",
        scene.tree,
        timeout=scene.timeout,
        environment=environment,
        allowance=scene.room(),
    )
    printed, *after = ran.output.split(mark)
    tail = tail_of(printed)
    if ran.ended_by != "exit" or len(after) != 2:
        limit = f"they passed the limit of {'time' if ran.ended_by == 'timeout' else ran.ended_by}"
        why = limit if ran.ended_by != "exit" else "pytest was ended from within"
        return Suite(broken=f"the tests did not end: {why}", tail=tail)
    if ran.exit_code == 127 or "No module named pytest" in printed:
        return not_run("tests", "pytest is not there")
    if "No module named coverage" in printed:
        return not_run("tests", "coverage is not there")
    suite = _suite(ran.exit_code, after[1])
    coverage = after[0].strip()
    return replace(suite, tail=tail, **_covered(sources, coverage if coverage.isdecimal() else ""))


def _suite(code: int, report: str) -> Suite:
    if code == _NO_TESTS:
        return Suite(broken="no tests were found", exit_code=code)
    if not report.strip():
        ended = "no test passed: pytest ran none to its end"
        return Suite(
            broken=ended if code in (0, _INTERRUPTED) else f"pytest ended with {code}", exit_code=code
        )
    suite = junit.read(report)
    if code in (_INTERNAL, _USAGE):
        return replace(suite, broken=f"pytest ended with {code}", exit_code=code)
    return replace(suite, exit_code=code)


def _covered(sources: list[str], coverage: str) -> dict[str, object]:
    where = " ".join(sources)[:80]
    if not sources:
        return {"ticks": (Tick("coverage", None, "not measured: no src folder, package or module on top"),)}
    if not coverage:
        return {"ticks": (Tick("coverage", None, "not measured: coverage gave no number"),)}
    return {"said": f", {coverage} % of {where} covered", "ticks": (Tick("coverage", None, f"{coverage} %"),)}


def _measured(sources: list[str]) -> str:
    folders = [each for each in sources if not each.endswith(".py")]
    modules = [each for each in sources if each.endswith(".py")]
    if folders:
        return f"--source={shlex.quote(','.join(folders))}"
    return f"--include={shlex.quote(','.join(modules))}"
