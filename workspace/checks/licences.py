"""The licences of what the product depends on: a list for people. Which of them may be installed is decided
elsewhere, before it is; here it is only told, and what is not known is said to be unknown."""

import asyncio
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from workspace import licences
from workspace.checks import locks
from workspace.checks.locks import Dependency
from workspace.checks.result import CheckResult, Tick, idle, not_run
from workspace.checks.scene import Scene
from workspace.dependencies import archive

_MOST_TOLD = 200


async def look(scene: Scene) -> CheckResult:
    """Each dependency with its licence; the score is the share of those that are known."""
    return await asyncio.to_thread(_look, scene)


def _look(scene: Scene) -> CheckResult:
    locked = locks.read(scene.files)
    if not locked.dependencies:
        return idle("licences", "there is nothing that the product depends on")
    wheels = _wheels(scene.wheelhouse, locked.dependencies)
    told = {each.name: _licence(each, wheels) for each in locked.dependencies}
    known = [name for name, licence in told.items() if licence]
    if not known:
        return not_run("licences", f"nothing here says the licence of {', '.join(told)[:200]}")
    ticks = [Tick(name, None, licence or "unknown") for name, licence in sorted(told.items())][:_MOST_TOLD]
    unknown = sorted(set(told) - set(known))
    summary = f"{len(known)} of {len(told)} known: {', '.join(sorted({told[name] for name in known}))}"
    details = tuple(f"{name}: its licence is not known here" for name in unknown[:50])
    score = 100 * len(known) // len(told)
    return CheckResult("licences", True, score, summary[:300], details, ticks=tuple(ticks))


def _licence(dependency: Dependency, wheels: dict[str, str]) -> str:
    if dependency.ecosystem == "npm":
        return licences.canonical(dependency.licence)
    if dependency.ecosystem != "PyPI":
        return ""
    return wheels.get(dependency.name) or _installed(dependency)


def _wheels(wheelhouse: Path | None, dependencies: Sequence[Dependency]) -> dict[str, str]:
    """What the wheels of the operator's folder say."""
    wanted = {each.name: each.version for each in dependencies if each.ecosystem == "PyPI"}
    found: dict[str, str] = {}
    if wheelhouse is None or not wheelhouse.is_dir():
        return found
    for path in sorted(wheelhouse.glob("*.whl")):
        try:
            name, version, _, _ = parse_wheel_filename(path.name)
            if wanted.get(name) in ("", str(version)):
                found[name] = archive.look(path).licence.expression or found.get(name, "")
        except (InvalidWheelFilename, archive.WheelRefused, OSError):
            continue
    return found


def _installed(dependency: Dependency) -> str:
    """What a distribution beside the factory says, which the sandbox's Python sees: of this version, or of
    any where none is fixed."""
    try:
        found = metadata.distribution(dependency.name)
    except (metadata.PackageNotFoundError, ValueError):
        return ""
    if canonicalize_name(str(found.metadata["Name"])) != dependency.name:
        return ""
    if dependency.version and dependency.version != found.version:
        return ""
    return licences.of_metadata(found.read_text("METADATA") or "").expression
