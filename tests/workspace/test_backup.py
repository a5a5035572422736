"""A backup made while a run waits, and what is restored from it: the run goes on where it was."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from core.database import Database
from core.dumping import DatabaseNotEmpty
from core.errors import BadInput
from core.settings import Settings
from governance.access import Accounts
from graph.runner import Factory
from memory.audit import keys
from tests.doubles.fixtures import ollama_server  # noqa: F401  (a fixture)
from tests.graph.conftest import PACKS, OpenSmall, open_small  # noqa: F401  (a fixture)
from workspace import backup
from workspace.backup.contents import BackupInvalid
from workspace.backup.restoring import HomeNotEmpty


async def test_a_run_that_waits_goes_on_in_a_restored_factory(open_small: OpenSmall, tmp_path: Path) -> None:  # noqa: F811
    file = tmp_path / "kept" / "factory.tar.gz"
    file.parent.mkdir()
    async with open_small() as factory:
        run_id = await factory.submit("A page about ferns", pipeline="one", project="ferns")
        outcome = await factory.drive(run_id)
        (asked,) = outcome.waiting
        accounts = Accounts.of(factory.db, factory.settings)
        robot = await accounts.users.add("ci", "operator", password=None, by="owner")
        _, secret = await accounts.tokens.issue(robot, "ci", by="owner")
        signing = keys.signing_key(factory.settings).private_bytes_raw()
        before = [event.hash for event in await factory.events.read(run_id)]
        made = await backup.make(factory.settings, file)
        assert (made.repositories, file.stat().st_mode & 0o777) == (1, 0o600)
        ollama = factory.settings.ollama_url
        with pytest.raises(BadInput, match="already"):
            await backup.make(factory.settings, file)

    settings = Settings(
        home=tmp_path / "elsewhere", pack="small", pack_dirs=[PACKS], ollama_url=ollama, database_url=None
    )
    manifest = await backup.restore(settings, file)
    assert manifest.repositories == {"ferns": "refs/heads/main"}
    assert not [path for path in tmp_path.iterdir() if "restoring" in path.name]
    with pytest.raises(HomeNotEmpty):
        await backup.restore(settings, file)
    async with Factory.open(settings) as again:
        assert [event.hash for event in await again.events.read(run_id)] == before
        assert keys.signing_key(settings).private_bytes_raw() == signing
        assert (await Accounts.of(again.db, settings).verify(secret)).name == "ci"
        await again.answer(asked.id, "approve", None, by="owner")
        assert (await again.drive(run_id)).status == "completed"
        run = await again.services.run(run_id)
        assert run.repository == settings.home / "projects" / "ferns" / "repository"
        async with again.db.pool.connection() as conn:  # the service still cannot change the log
            with pytest.raises(Exception, match=r"permission denied|refused"):
                await conn.execute("DELETE FROM factory.events")


async def test_a_backup_is_not_restored_over_a_database(
    database: Database, settings: Settings, tmp_path: Path
) -> None:
    file = tmp_path / "factory.tar.gz"
    await backup.make(settings, file)
    other = settings.model_copy(update={"home": tmp_path / "other"})
    with pytest.raises(DatabaseNotEmpty):
        await backup.restore(other, file)
    assert not any((tmp_path / "other").iterdir())


@pytest.mark.parametrize("damage", ["nothing", "cut", "changed", "outside"])
async def test_a_damaged_backup_changes_nothing(
    database: Database, settings: Settings, tmp_path: Path, damage: str
) -> None:
    file, home = tmp_path / "factory.tar.gz", tmp_path / "other"
    await backup.make(settings, file)
    _damage(file, damage)
    with pytest.raises(BackupInvalid):
        await backup.restore(settings.model_copy(update={"home": home}), file)
    assert not home.exists()
    assert not (tmp_path / "escaped").exists()


def _damage(file: Path, how: str) -> None:
    if how == "nothing":
        file.write_bytes(b"")
    elif how == "cut":
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    else:
        members = _members(file)
        if how == "changed":
            members["database.dump"] += b"x"
        else:
            members = {"../escaped": b"x", **members}
        with tarfile.open(file, "w:gz") as tar:
            for name, content in members.items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))


def _members(file: Path) -> dict[str, bytes]:
    with tarfile.open(file) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar if member.isfile()}  # type: ignore[union-attr]


async def test_a_backup_says_what_is_in_it(database: Database, settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "factory.tar.gz"
    Accounts.of(database, settings)
    await backup.make(settings, file)
    members = _members(file)
    manifest: dict[str, Any] = json.loads(members["manifest.json"])
    assert set(manifest["files"]) == set(members) - {"manifest.json"}
    assert {"database.dump", "home/access/session.key"} <= set(manifest["files"])
