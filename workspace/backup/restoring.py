"""Make a factory from a backup, where there is none: whole, or not at all."""

from __future__ import annotations

import asyncio
import os
import shutil
import tarfile
from pathlib import Path, PurePosixPath
from typing import Final

import psycopg
from pydantic import ValidationError

from core import dumping
from core.database import REVISIONS, Database, DatabaseTooNew
from core.errors import BadInput
from core.postgres import EmbeddedPostgres
from core.settings import Settings
from workspace.backup import contents
from workspace.backup.contents import BackupInvalid, Manifest
from workspace.git import Git

_MOVE: Final = """
UPDATE factory.projects SET repository = %(new)s || substr(repository, length(%(old)s) + 1)
WHERE starts_with(repository, %(old)s || '/')
"""


class HomeNotEmpty(BadInput):
    """There is something in the home folder."""

    http_status = 409


async def restore(settings: Settings, path: Path) -> Manifest:
    """Restore the backup `path` into the empty home (and the empty database) of the settings.

    Raises HomeNotEmpty, DatabaseNotEmpty, BackupInvalid, DatabaseTooNew, DumpFailed.
    """
    home = settings.home
    if home.exists() and (not home.is_dir() or any(home.iterdir())):
        raise HomeNotEmpty(
            f"There is something in {home} already",
            untouched="Nothing was changed",
            todo="Set FACTORY_HOME to a folder that is empty, or is not there yet",
        )
    stage = home.with_name(f".{home.name}.restoring-{os.getpid()}")
    try:
        manifest = await asyncio.to_thread(_unpack, path, stage)
        if manifest.schema_version not in REVISIONS:
            raise DatabaseTooNew(
                f"The backup has schema {manifest.schema_version}, and this program knows {REVISIONS[-1]}",
                untouched="Nothing was changed",
                todo="Use the version of the factory that wrote it, or a newer one",
            )
        for name, head in manifest.repositories.items():
            await _repository(stage, name, head)
        try:
            await _home(stage, home)
            await _database(settings, stage, manifest)
        except BaseException:
            await asyncio.to_thread(_empty, home)
            raise
    finally:
        await asyncio.to_thread(shutil.rmtree, stage, ignore_errors=True)
    return manifest


def _unpack(path: Path, stage: Path) -> Manifest:
    """Take the file apart, and hold every part against the manifest."""
    stage.mkdir(mode=0o700, parents=True)
    try:
        with tarfile.open(path, mode="r:gz") as tar:
            tar.extractall(stage, filter="data")
        manifest = Manifest.model_validate_json((stage / contents.MANIFEST).read_text())
    except (OSError, tarfile.TarError, EOFError, ValidationError, UnicodeDecodeError) as error:
        raise BackupInvalid(
            f"{path} is no backup of a factory, or was damaged ({type(error).__name__})",
            untouched="Nothing was changed",
            todo="Give a file that `factory backup` wrote",
        ) from error
    for name, told in manifest.files.items():
        file = stage / name
        if ".." in PurePosixPath(name).parts or not file.is_file() or contents.digest(file) != told:
            raise BackupInvalid(
                f"{name[:200]!a} in {path} is not what was backed up",
                untouched="Nothing was changed",
                todo="Take another backup",
            )
    return manifest


async def _repository(stage: Path, name: str, head: str) -> None:
    folder = stage / contents.HOME / "projects" / name / "repository"
    folder.mkdir(parents=True)
    git = Git(folder / ".git", work_tree=folder)
    await git("init", "--quiet", "--initial-branch", head.removeprefix("refs/heads/"))
    bundle = stage / contents.REPOSITORIES / f"{name}.bundle"
    if not bundle.exists():
        return
    told = (await git("bundle", "unbundle", os.fspath(bundle))).text.splitlines()
    refs = [line.split(" ", 1) for line in told if " refs/" in line]
    commands = "".join(f"create {ref} {commit}\n" for commit, ref in refs)
    await git("update-ref", "--stdin", stdin=commands.encode())
    if any(ref == head for _, ref in refs):
        await git("reset", "--quiet", "--hard", head)


async def _home(stage: Path, home: Path) -> None:
    def move() -> None:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        source = stage / contents.HOME
        for entry in source.iterdir() if source.exists() else ():
            shutil.move(entry, home / entry.name)

    await asyncio.to_thread(move)


async def _database(settings: Settings, stage: Path, manifest: Manifest) -> None:
    dumped = stage / contents.DATABASE
    if settings.database_url is None:
        postgres = await asyncio.to_thread(EmbeddedPostgres.acquire, settings.home)
        try:
            await _load(postgres.conninfo("owner"), dumped, settings.home, manifest)
        finally:
            await asyncio.to_thread(postgres.release)
    else:
        owner = settings.database_owner_url or settings.database_url
        await _load(owner.get_secret_value(), dumped, settings.home, manifest)
    async with Database.open(settings):
        pass  # it can be opened, and has the newest schema now


async def _load(conninfo: str, dumped: Path, home: Path, manifest: Manifest) -> None:
    await dumping.load(conninfo, dumped, service=manifest.service_role)
    async with await psycopg.AsyncConnection.connect(conninfo) as conn:
        await conn.execute(_MOVE, {"old": manifest.home, "new": os.fspath(home)})


def _empty(home: Path) -> None:
    """Take away what was made. The folder was empty, so that all in it is ours."""
    pointer = home / "postgres" / "place"
    if pointer.is_file():
        shutil.rmtree(Path(pointer.read_text().strip()).parent, ignore_errors=True)
    for entry in home.iterdir() if home.is_dir() else ():
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
