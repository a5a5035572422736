"""Whether the types of the product's Python fit together: mypy with our own options, whatever it configures.

mypy, because it is a plain wheel that needs no Node and no network, and found all seven faults planted in
code with and without annotations, of which pyrefly's default found none. A small product takes it a second.
"""

import asyncio
import re

from workspace.checks import python
from workspace.checks.result import CheckResult, Finding, Findings, idle, not_run
from workspace.checks.scene import Report, Scene

_OPTIONS = (
    *("--config-file=", "--cache-dir=/dev/null", "--no-incremental", "--no-color-output"),
    *("--no-error-summary", "--hide-error-context", "--show-error-codes", "--no-pretty"),
    *("--explicit-package-bases", "--check-untyped-defs"),
    *("--disable-error-code=import-untyped", "--disable-error-code=str-bytes-safe"),
)
_FINDING = re.compile(r"^(?P<path>[^:\n]+):(?P<line>\d+): error: (?P<what>.*)$")
_MISSING = re.compile(r'module named "(?P<top>\w+)')


async def look(scene: Scene) -> Report:
    """What mypy finds in the product's own code; its tests are not looked at."""
    sources = await asyncio.to_thread(python.sources, scene.files)
    if not sources:
        return idle("types", "there is no src folder and no package on top with Python in it")
    words = ["python", "-m", "mypy", *_OPTIONS, "--", *sources]
    ran = await scene.sandbox.run(
        words,
        scene.tree,
        policy="read",
        timeout=scene.timeout,
        environment={"MYPYPATH": "src:." if sources == ["src"] else "."},
        allowance=scene.room("read"),
    )
    if ran.ended_by != "exit":
        return CheckResult("types", False, 0, f"mypy passed the limit of {ran.ended_by}", ())
    told = [match for line in ran.output.splitlines() if (match := _FINDING.match(line))]
    if ran.exit_code != 0 and not told:
        return not_run("types", ran.output.strip()[-300:] or f"mypy ended with {ran.exit_code}")
    own = await asyncio.to_thread(python.modules, scene.files)
    problems = [
        Finding(match["path"], int(match["line"]), match["what"])
        for match in told
        if not _is_of_others(match["what"], own)
    ]
    return Findings(problems, f"nothing found by mypy in {', '.join(sources)}"[:200], each=5)


def _is_of_others(what: str, own: frozenset[str]) -> bool:
    """Whether only a library is missing here, which says nothing about the product."""
    missing = _MISSING.search(what) if "[import-not-found]" in what else None
    return missing is not None and missing["top"] not in own
