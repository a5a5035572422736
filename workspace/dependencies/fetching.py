"""Fetches the wheels that a product's requirements come to, with pip in the sandbox. Builds nothing.

pip resolves and downloads, only ever wheels: a source distribution would run its own code to become one.
"""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from workspace.allowance import Allowance
from workspace.dependencies.archive import Package, WheelRefused, look, overlapping
from workspace.dependencies.declared import PROVIDED, Wanted
from workspace.dependencies.sources import Sources
from workspace.egress import Report
from workspace.policies import Policies, Policy
from workspace.relay import PROXY
from workspace.sandbox import Execution, Sandbox

Fault = Literal["unavailable", "source-only", "hash", "archive", "conflict", "declaration"]
"""unavailable: no source has it. source-only: there is no wheel of it. hash: not the bytes that were named.
archive: a wheel that does more than a wheel may. conflict: no versions go together. declaration: the
product's files say something that is not done."""

ALLOWANCE = replace(
    Allowance(), tree_files=60_000, tree_bytes=3_000_000_000, file_size=400_000_000, kept_output=1_000_000
)
PIP = ("python", "-m", "pip")
QUIET = ("--isolated", "--disable-pip-version-check", "--no-cache-dir", "--no-input", "--no-color")

_SECONDS = 600
_HOUSE = "/wheelhouse"
_MISSING = re.compile(
    r"^ERROR: Could not find a version that satisfies the requirement (\S[^(\n]*?)(?: \(from ([^)]*)\))? "
    r"\(from versions: (.*)\)$",
    re.MULTILINE,
)
_UNMATCHED = re.compile(r"DO NOT MATCH THE HASHES.*?\n\s+(\S+) from ", re.DOTALL)
_CONFLICT = re.compile(r"The conflict is caused by:\n((?:    .*\n)+)")


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is nothing to install."""

    fault: Fault
    name: str
    """The distribution, or what else it is about."""
    why: str


@dataclass(frozen=True, slots=True)
class Fetched:
    """The wheels of everything that is needed, or what stands in the way."""

    packages: tuple[Package, ...] = ()
    failures: tuple[Failure, ...] = ()


async def fetch(
    wanted: Sequence[Wanted], sources: Sources, sandbox: Sandbox, folder: Path, report: Report
) -> Fetched:
    """Download the wheels into `folder`/wheels and look at each. Raises SandboxUnavailable."""
    wheels = folder / "wheels"
    await asyncio.to_thread(_prepare, folder, wheels, wanted)
    ran = await _pip(sandbox, sources, folder, ["-r", "requirements.txt"], report)
    if ran.exit_code != 0 or ran.ended_by != "exit":
        return Fetched(failures=(await _failure(ran, sources, sandbox, folder, report),))
    return await asyncio.to_thread(_look, wheels, wanted, sources)


def _prepare(folder: Path, wheels: Path, wanted: Sequence[Wanted]) -> None:
    wheels.mkdir()
    text = "".join(f"{each.requirement}\n" for each in wanted)
    (folder / "requirements.txt").write_text(text, encoding="utf-8")


async def _pip(
    sandbox: Sandbox, sources: Sources, folder: Path, what: Sequence[str], report: Report
) -> Execution:
    options = ["--only-binary", ":all:", "--progress-bar", "off", "--dest", "wheels", "--retries", "1"]
    shown: dict[str, Path] = {}
    if sources.wheelhouse is not None:
        shown[_HOUSE] = sources.wheelhouse
        options += ["--find-links", sandbox.at(_HOUSE, sources.wheelhouse)]
    if sources.index:
        # Named, not left to the environment, which says that this machine itself needs no proxy.
        options += ["--index-url", sources.index, "--proxy", PROXY]
    else:
        options += ["--no-index"]
    policy = Policy("dependencies", egress=sources.egress, allowance=ALLOWANCE)
    confined = replace(sandbox, policies=Policies({"dependencies": policy}))
    return await confined.run(
        [*PIP, "download", *QUIET, *options, *what],
        folder,
        policy="dependencies",
        timeout=_SECONDS,
        report=report,
        shown=shown,
    )


async def _failure(
    ran: Execution, sources: Sources, sandbox: Sandbox, folder: Path, report: Report
) -> Failure:
    said = ran.output
    if ran.ended_by != "exit":
        return Failure("unavailable", "the packages", f"fetching them passed the limit of {ran.ended_by}")
    if unmatched := _UNMATCHED.search(said):
        return Failure("hash", name_of(unmatched[1]), "its bytes are not those that the index names")
    if conflict := _CONFLICT.search(said):
        lines = "; ".join(" ".join(line.split()) for line in conflict[1].splitlines())
        return Failure("conflict", "the requirements", f"no versions go together: {lines[:800]}")
    if missing := _MISSING.search(said):
        requirement, needed_by = missing[1].strip(), missing[2]
        name = name_of(requirement)
        by = f" (needed by {needed_by})" if needed_by else ""
        if sources.source_of(name) or await _is_source_only(name, sources, sandbox, folder, report):
            why = "there is only a source distribution, which would run its own code to be built"
            return Failure("source-only", name, f"{requirement}{by}: {why}")
        has = f"; there is {missing[3][:200]}" if missing[3] != "none" else ""
        return Failure("unavailable", name, f"{requirement}{by} is not in {sources}{has}")
    errors = [line for line in said.splitlines() if line.startswith("ERROR:")] or said.splitlines()[-3:]
    return Failure("unavailable", "the packages", " ".join(errors)[:800] or f"pip ended with {ran.exit_code}")


async def _is_source_only(
    name: str, sources: Sources, sandbox: Sandbox, folder: Path, report: Report
) -> bool:
    """Whether the index has the package, and no wheel of it: pip says so only when it tells everything."""
    if not sources.index:
        return False
    ran = await _pip(sandbox, sources, folder, ["-vv", "--no-deps", name], report)
    return "No sources permitted for" in ran.output and ran.exit_code != 0


def _look(wheels: Path, wanted: Sequence[Wanted], sources: Sources) -> Fetched:
    packages: list[Package] = []
    failures: list[Failure] = []
    for path in sorted(wheels.iterdir()):
        try:
            package = look(path)
        except (WheelRefused, OSError) as refused:
            failures.append(
                Failure("archive", name_of(path.name.partition("-")[0]), f"{path.name}: {refused}")
            )
            continue
        if package.name in PROVIDED:
            path.unlink()  # the sandbox's own serves, and nothing may stand in its place
        else:
            packages.append(package)
    failures += _unpinned(packages, wanted, sources)
    if shared := overlapping(packages):
        failures.append(Failure("archive", "the packages", shared))
    return Fetched((), tuple(failures)) if failures else Fetched(tuple(packages))


def _unpinned(packages: Sequence[Package], wanted: Sequence[Wanted], sources: Sources) -> list[Failure]:
    """Wheels whose bytes are not those that the product or the wheelhouse names."""
    failures: list[Failure] = []
    sums = sources.sums()
    for package in packages:
        for each in wanted:
            if each.name == package.name and each.hashes and package.sha256 not in each.hashes:
                why = f"{package.file} has none of the hashes in {each.file}"
                failures.append(Failure("hash", package.name, why))
        if sums is None or sources.wheelhouse is None or not (sources.wheelhouse / package.file).exists():
            continue
        if sums.get(package.file) != package.sha256:
            known = "has another hash than" if package.file in sums else "is not in"
            failures.append(
                Failure("hash", package.name, f"{package.file} {known} the wheelhouse's SHA256SUMS")
            )
    return failures


def name_of(text: str) -> str:
    """The normalised name at the beginning of a requirement or a file name."""
    try:
        return canonicalize_name(Requirement(text).name)
    except InvalidRequirement:
        return canonicalize_name(re.split(r"[^A-Za-z0-9._]", text.strip(), maxsplit=1)[0]) or text[:80]
