"""Write a backup while the factory works.

First the database, of one moment, then the repositories: git only adds, so every commit that the database
speaks of is there. The other way round a run could be finished in the database, and its commit be missing.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tarfile
import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import Final

from core import clock, dumping
from core.database import REVISIONS, Database
from core.errors import BadInput
from core.settings import Settings
from workspace.backup import contents
from workspace.backup.contents import Manifest
from workspace.git import Git
from workspace.projects import Workspace

_MAIN: Final = "refs/heads/main"


@dataclass(frozen=True, slots=True)
class Made:
    """A backup that was written."""

    path: Path
    bytes: int
    repositories: int
    files: int


async def make(settings: Settings, path: Path) -> Made:
    """Write everything to `path`, whole or not at all, for its owner's eyes. Raises BadInput, DumpFailed."""
    stage = await asyncio.to_thread(_begin, settings, path)
    try:
        manifest = await _collect(settings, stage)
        await asyncio.to_thread(_pack, settings, stage, manifest, stage / "whole")
        size = await asyncio.to_thread(_finish, stage / "whole", path)
    finally:
        await asyncio.to_thread(shutil.rmtree, stage, ignore_errors=True)
    return Made(path, size, len(manifest.repositories), len(manifest.files))


def _begin(settings: Settings, path: Path) -> Path:
    """A folder beside `path` to collect in."""
    if path.exists():
        raise BadInput(
            f"There is a file {path} already", untouched="It is as it was", todo="Give another name"
        )
    if path.absolute().is_relative_to(settings.home):
        raise BadInput(f"{path} lies in what is backed up", todo="Give a place outside of FACTORY_HOME")
    if not path.absolute().parent.is_dir():
        raise BadInput(f"There is no folder {path.absolute().parent}", todo="Make it first")
    return Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.absolute().parent))


def _finish(whole: Path, path: Path) -> int:
    os.link(whole, path)  # unlike a rename it takes nobody's place
    return path.stat().st_size


async def _collect(settings: Settings, stage: Path) -> Manifest:
    async with Database.open(settings) as db:
        _, service = await dumping.state(db.owner)
        await dumping.dump(db.owner, stage / contents.DATABASE)
    bundles = stage / contents.REPOSITORIES
    await asyncio.to_thread(bundles.mkdir)
    heads: dict[str, str] = {}
    for name in Workspace(settings).names():
        git = Git(settings.home / "projects" / name / "repository" / ".git")
        heads[name] = (await git("symbolic-ref", "-q", "HEAD", ok=(0, 1))).text or _MAIN
        if (await git("for-each-ref", "--count=1")).text:
            await git("bundle", "create", "--quiet", os.fspath(bundles / f"{name}.bundle"), "--all")
    return Manifest(
        format=contents.FORMAT,
        version=version("factory-ai"),
        schema_version=REVISIONS[-1],
        made_at=clock.now().isoformat(),
        home=os.fspath(settings.home),
        service_role=service,
        repositories=heads,
        files={},
    )


def _pack(settings: Settings, stage: Path, manifest: Manifest, whole: Path) -> None:
    members = {contents.DATABASE: stage / contents.DATABASE}
    for bundle in sorted((stage / contents.REPOSITORIES).iterdir()):
        members[f"{contents.REPOSITORIES}/{bundle.name}"] = bundle
    for file in sorted(settings.home.rglob("*")):
        relative = PurePosixPath(file.relative_to(settings.home).as_posix())
        if contents.is_kept(relative) and file.is_file() and not file.is_symlink():
            # A copy, so that what is packed is what was counted, whoever writes to it meanwhile.
            copy = stage / "copies" / str(len(members))
            copy.parent.mkdir(exist_ok=True)
            shutil.copy2(file, copy)
            members[f"{contents.HOME}/{relative}"] = copy
    manifest.files.update({name: contents.digest(path) for name, path in members.items()})
    (stage / contents.MANIFEST).write_text(manifest.model_dump_json(indent=2))
    opened = os.open(whole, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(opened, "wb") as file:
        with tarfile.open(fileobj=file, mode="w:gz", compresslevel=3) as tar:
            for name, path in {contents.MANIFEST: stage / contents.MANIFEST, **members}.items():
                tar.add(path, arcname=name, recursive=False)
        file.flush()
        os.fsync(file.fileno())
