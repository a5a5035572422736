"""Checks that `project.toml` declares: a command of any language, and how its outcome is read."""

import secrets
import shlex
from dataclasses import replace

from workspace.checks import gotest, junit, tap
from workspace.checks.result import idle, not_run
from workspace.checks.scene import Report, Scene
from workspace.checks.suite import Suite, tail_of
from workspace.declared import DeclaredCheck

_LARGEST_REPORT = 8_000_000
_NOT_FOUND, _NOT_RUNNABLE = 127, 126
_READERS = {"tap": tap.read, "go-test-json": gotest.read}

# What language's tools need to work without a home, a network or a terminal.
_ENVIRONMENT = {"CI": "true", "GOFLAGS": "-mod=mod", "GOTOOLCHAIN": "local", "GOPROXY": "off"}


async def look(check: DeclaredCheck, scene: Scene) -> Report:
    """Run the command in the sandbox and read what it told."""
    if scene.changed is not None and not check.covers(scene.changed):
        return idle(check.name, f"the run changed nothing of {', '.join(check.paths)}")
    mark = f"::{secrets.token_hex(8)}::"
    report = shlex.quote(f"./{check.report}")
    # The command travels in a variable: a quote in it that has no other cannot take the rest along. A report
    # that lay there before it counts for nothing.
    fresh = f"rm -f -- {report}; " if check.report else ""
    shown = f"head -c {_LARGEST_REPORT + 1} -- {report} 2>/dev/null" if check.report else "true"
    ran = await scene.sandbox.run(
        f"{fresh}/bin/sh -c \"$FACTORY_CHECK\"; code=$?; echo; echo '{mark}'; {shown}; exit $code",
        scene.tree,
        policy=check.policy,
        timeout=check.seconds,
        environment={**_ENVIRONMENT, "FACTORY_CHECK": check.command},
        allowance=scene.room(check.policy),
    )
    printed, ended, after = ran.output.partition(mark)
    tail = tail_of(printed)
    if ran.ended_by != "exit" or not ended:
        limit = "time" if ran.ended_by == "timeout" else ran.ended_by
        why = (
            f"it passed the limit of {limit}" if ran.ended_by != "exit" else "its shell was ended from within"
        )
        return Suite(broken=f"the check did not end: {why}", tail=tail)
    if ran.exit_code in (_NOT_FOUND, _NOT_RUNNABLE):
        why = tail[-1] if tail else f"it ended with {ran.exit_code}"
        return not_run(check.name, f"its command cannot be run here: {why}")
    suite = _suite(check, ran.exit_code, printed, after.removeprefix("\n"))
    if ran.truncated and not suite.broken:
        suite = replace(suite, broken="its output is longer than is kept, so not all of it was read")
    return replace(suite, exit_code=ran.exit_code, tail=tail)


def _suite(check: DeclaredCheck, code: int, printed: str, report: str) -> Suite:
    if check.parser == "exit-code":
        return Suite({check.name: "passed" if code == 0 else "failed"})
    if check.parser != "junit":
        return _READERS[check.parser](printed)
    if len(report) > _LARGEST_REPORT:
        return Suite(broken=f"its report has more than {_LARGEST_REPORT} bytes")
    if not report.strip():
        return Suite(broken=f"it wrote no report {check.report}")
    return junit.read(report)
