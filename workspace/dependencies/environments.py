"""The installed packages of a project: one folder for each set of wheels, named after their content.

    <home>/projects/NAME/environments/<digest>/lib/            what Python is shown, read-only
    <home>/projects/NAME/environments/<digest>/manifest.json   what it is made of

A folder is made beside, looked at, and then takes its name: whoever finds the name finds all of it.
"""

import asyncio
import hashlib
import json
import os
import secrets
import shutil
import stat
import sys
import sysconfig
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from core import faults
from workspace import inventory
from workspace.dependencies.archive import Package, WheelRefused, check_modules
from workspace.dependencies.fetching import ALLOWANCE, PIP, QUIET
from workspace.errors import WorkspaceError
from workspace.licences import Licence
from workspace.locks import FileLock
from workspace.policies import Policies, Policy
from workspace.sandbox import Sandbox

_WORK = ".work-"
_SECONDS = 600


class InstallFailed(WorkspaceError):
    """The packages could not be installed."""


@dataclass(frozen=True, slots=True)
class Environment:
    """An installed set of packages."""

    digest: str
    libraries: Path
    """The folder that Python is shown."""


class Environments:
    """The installed sets of one project."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = FileLock(folder / ".lock")

    @asynccontextmanager
    async def working(self) -> AsyncGenerator[Path]:
        """An empty folder to work in, alone in this project; what a killed process left is removed first."""
        await asyncio.to_thread(self._folder.mkdir, parents=True, exist_ok=True)
        async with self._lock.held():
            await asyncio.to_thread(self._sweep)
            folder = self._folder / f"{_WORK}{secrets.token_hex(6)}"
            await asyncio.to_thread(folder.mkdir, 0o755)
            try:
                yield folder
            finally:
                await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    def find(self, packages: Sequence[Package], sandbox: Sandbox) -> Environment | None:
        """The installed set of just these wheels; None where it was not installed yet."""
        digest = digest_of(packages, sandbox)
        made = Environment(digest, self._folder / digest / "lib")
        return made if (self._folder / digest / "manifest.json").is_file() else None

    def recall(self, key: str) -> tuple[Package, ...] | None:
        """The wheels that a set of requirements came to before; None where that is not known."""
        try:
            told = json.loads((self._folder / "sets" / f"{key}.json").read_text(encoding="utf-8"))
            return tuple(
                Package(
                    **{name: each[name] for name in ("name", "version", "file", "sha256")},
                    licence=Licence(**each["licence"]),
                    needs=tuple(each["needs"]),
                    paths=frozenset(),
                )
                for each in told["packages"]
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def remember(self, key: str, packages: Sequence[Package]) -> None:
        """Keep which wheels a set of requirements came to."""
        folder = self._folder / "sets"
        folder.mkdir(parents=True, exist_ok=True)
        fresh = folder / f".{secrets.token_hex(6)}.new"
        fresh.write_text(_manifest(packages), encoding="utf-8")
        fresh.rename(folder / f"{key}.json")

    async def install(self, packages: Sequence[Package], sandbox: Sandbox, work: Path) -> Environment:
        """Install the wheels that lie in `work`/wheels and have been looked at. Raises InstallFailed."""
        wheels = [f"./wheels/{package.file}" for package in packages]
        policy = Policy("dependencies", allowance=ALLOWANCE)
        confined = replace(sandbox, policies=Policies({policy.name: policy}))
        options = ["--no-index", "--no-deps", "--no-compile", "--no-warn-script-location", "--target", "lib"]
        ran = await confined.run(
            [*PIP, "install", *QUIET, "--progress-bar", "off", *options, *wheels],
            work,
            policy=policy.name,
            timeout=_SECONDS,
        )
        if ran.exit_code != 0 or ran.ended_by != "exit":
            raise InstallFailed(f"pip could not install the packages: {ran.output.strip()[-500:]}")
        await asyncio.to_thread(_inspect, work / "lib", packages)
        faults.point("dependencies.installed")
        return await asyncio.to_thread(self._publish, packages, sandbox, work)

    def _publish(self, packages: Sequence[Package], sandbox: Sandbox, work: Path) -> Environment:
        digest = digest_of(packages, sandbox)
        fresh = work / "environment"
        fresh.mkdir(0o755)
        (work / "lib").rename(fresh / "lib")
        (fresh / "manifest.json").write_text(_manifest(packages), encoding="utf-8")
        with os.scandir(fresh) as entries:
            for entry in entries:
                descriptor = os.open(entry.path, os.O_RDONLY)
                os.fsync(descriptor)
                os.close(descriptor)
        fresh.rename(self._folder / digest)
        return Environment(digest, self._folder / digest / "lib")

    def _sweep(self) -> None:
        for path in self._folder.iterdir():
            if path.name.startswith(_WORK):
                shutil.rmtree(path, ignore_errors=True)


def digest_of(packages: Sequence[Package], sandbox: Sandbox) -> str:
    """Names a set of wheels for this Python: the same for the same bytes, in any order."""
    here = [sandbox.backend, sys.implementation.cache_tag, sysconfig.get_platform()]
    lines = sorted(f"{package.sha256} {package.file}" for package in packages)
    return hashlib.sha256("\n".join([*map(str, here), *lines]).encode()).hexdigest()[:40]


def _manifest(packages: Sequence[Package]) -> str:
    told = [
        {**asdict(package), "paths": len(package.paths), "needs": list(package.needs)} for package in packages
    ]
    return json.dumps({"packages": told}, indent=1)


def _inspect(lib: Path, packages: Sequence[Package]) -> None:
    """Look at what was installed, as at any tree that a command left, and make it ours, for all to read."""
    try:
        inventory.give_to(lib, os.geteuid())
        # No program of a package stands in anybody's PATH; but a package itself may be called `bin`.
        own = {path for package in packages for path in package.paths if path.startswith("bin/")}
        if not own:
            shutil.rmtree(lib / "bin", ignore_errors=True)
        paths: list[str] = []
        for found in inventory.walk(lib, repair=True):
            mode = found.status.st_mode
            if found.path.startswith("bin/") and not stat.S_ISDIR(mode) and found.path not in own:
                os.unlink(found.name, dir_fd=found.folder)
                continue
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                raise WheelRefused(f"{found.path[:200]!a} is a link or a device")
            _open_to_all(found)
            paths.append(found.path)
        check_modules(paths)
        lib.chmod(0o755)
    except (WheelRefused, OSError, WorkspaceError) as refused:
        raise InstallFailed(f"what was installed is refused: {refused}") from None


def _open_to_all(found: inventory.Found) -> None:
    # By way of a descriptor: chmod by name cannot be told not to follow a symlink.
    handle = os.open(found.name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=found.folder)
    try:
        folder = stat.S_ISDIR(os.fstat(handle).st_mode)
        os.chmod(f"/proc/self/fd/{handle}", 0o755 if folder else 0o644)
    finally:
        os.close(handle)
