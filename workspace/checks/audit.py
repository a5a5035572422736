"""Known faults of what the product depends on, from a database that the operator keeps. Without one it is not
run: that nothing is known is no proof of anything."""

import asyncio

from workspace.checks import advisories, locks
from workspace.checks.result import Finding, Findings, Tick, idle, not_run
from workspace.checks.scene import Report, Scene


async def look(scene: Scene) -> Report:
    """The advisories that hold for the fixed versions."""
    locked = await asyncio.to_thread(locks.read, scene.files)
    if not locked.dependencies and not locked.problems:
        return idle("audit", "there is nothing that the product depends on")
    if scene.advisories is None:
        return not_run("audit", "there is no database of advisories (FACTORY_ADVISORIES)")
    fixed = [each for each in locked.dependencies if each.version and advisories.comparable(each)]
    others = [each.name for each in locked.dependencies if each not in fixed]
    if not fixed:
        return not_run("audit", f"no version is fixed of what it depends on: {', '.join(others)[:200]}")
    looked = await asyncio.to_thread(advisories.look, scene.advisories, fixed)
    problems = [
        Finding(
            hit.dependency.file,
            1,
            f"{hit.dependency.name} {hit.dependency.version}: {hit.id} {hit.summary}"
            + (f"; mended in {hit.fixed}" if hit.fixed else ""),
        )
        for hit in looked.hits
    ]
    ticks = [Tick("database", None, f"{looked.advisories} advisories, the newest of {looked.newest or '?'}")]
    if others:
        ticks.append(Tick("not audited, no fixed version", None, ", ".join(others)[:300]))
    if looked.unreadable:
        ticks.append(Tick("advisories that cannot be read", None, str(looked.unreadable)))
    ticks += [Tick(f"{where} cannot be read", None, why) for where, why in locked.problems[:5]]
    clean = f"nothing is known of {len(fixed)} dependencies, as of {looked.newest or 'an unknown day'}"
    return Findings(problems, clean, each=25, ticks=tuple(ticks))
