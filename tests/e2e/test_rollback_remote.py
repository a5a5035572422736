"""A run with mail and a remote is taken back: repository, state, log, mail and remote agree."""

import hashlib
import subprocess
from pathlib import Path

import pytest

from core.settings import Settings
from graph.runner import Factory
from tests.e2e.test_release_to_forge import (
    Desk,
    desk,  # noqa: F401  (a fixture)
    forge,  # noqa: F401  (a fixture)
    git,
    source,  # noqa: F401  (a fixture)
)
from tests.faults import worker
from tests.faults.scenario import answer
from tests.graph.test_rollback import assert_they_agree, to_the_end
from workspace.mail.message import FOLDER
from workspace.repository import Repository

STAGES = ("plan", "maker", "painter")


async def released(factory: Factory, source: Path) -> str:  # noqa: F811
    """A run of the whole small pipeline whose branch was pushed."""
    run_id = await factory.submit("Small pages", project="shop", repo=source)
    await to_the_end(factory, run_id)
    return run_id


def branches(desk: Desk) -> dict[str, str]:  # noqa: F811
    """What the remote's branches of the factory point to."""
    listed = git(
        desk.bare, "for-each-ref", "--format=%(refname:lstrip=2) %(objectname)", "refs/heads/factory"
    )
    return dict(line.split(" ") for line in listed.splitlines())


def content(repository: Repository, commit: str, path: str) -> bytes:
    shown = ["git", "show", f"{commit}:{path}"]
    return subprocess.run(shown, cwd=repository.path, capture_output=True, check=True).stdout


async def mail_at(repository: Repository, commit: str) -> set[str]:
    return {path for path in await repository.files(commit) if path.startswith(f"{FOLDER}/")}


async def assert_the_log_knows_the_mail(factory: Factory, run_id: str) -> None:
    """Each message of the branch is the one that the log tells of, byte for byte."""
    repository = await factory.services.repository(run_id)
    head = await repository.run_head(run_id)
    told = {
        str(event.payload["path"]): str(event.payload["sha256"])
        for event in await factory.events.read(run_id, kinds=["mail.posted"])
    }
    there = await mail_at(repository, head)
    assert {path: hashlib.sha256(content(repository, head, path)).hexdigest() for path in there} == {
        path: told[path] for path in there
    }


async def test_a_run_with_mail_and_a_remote_goes_back_to_its_stages_and_is_pushed_again(
    desk: Desk,  # noqa: F811
    source: Path,  # noqa: F811
) -> None:
    async with Factory.open(Settings(**desk.settings)) as factory:
        run_id = await released(factory, source)
        repository = await factory.services.repository(run_id)
        product = await repository.product(await repository.run_head(run_id))
        pushed = branches(desk)
        assert pushed == {f"factory/{run_id}": await repository.run_head(run_id)}
        await assert_the_log_knows_the_mail(factory, run_id)
        for number, stage in enumerate(STAGES, start=1):
            head = await repository.run_head(run_id)
            mail = await mail_at(repository, head)
            aim = await factory.roll_back(run_id, stage, by="Ada")
            await assert_they_agree(factory, run_id, stage, head)
            await assert_the_log_knows_the_mail(factory, run_id)
            assert await mail_at(repository, aim.commit) < mail, "mail of what was undone went with it"
            kept = git(repository.path, "rev-parse", f"refs/factory/{run_id}/rolled-back/{number}/head")
            assert await mail_at(repository, kept) == mail, "and is kept"
            assert branches(desk) == pushed, "what was pushed stays"
            assert (await factory.summary(run_id)).pull_request is None

            await to_the_end(factory, run_id)
            await assert_the_log_knows_the_mail(factory, run_id)
            pushed[f"factory/{run_id}.again{number}"] = await repository.run_head(run_id)
            assert branches(desk) == pushed
            assert await repository.product(await repository.run_head(run_id)) == product
            assert (
                await factory.summary(run_id)
            ).pull_request == f"{desk.forge.url}/ada/shop/pull/{number + 1}"


@pytest.mark.slow
@pytest.mark.parametrize("point", ["begun", "kept", "repository", "state"])
async def test_a_killed_rollback_of_a_pushed_run_with_mail_ends_in_agreement(
    desk: Desk,  # noqa: F811
    source: Path,  # noqa: F811
    point: str,
) -> None:
    async with Factory.open(Settings(**desk.settings)) as factory:
        run_id = await released(factory, source)
        repository = await factory.services.repository(run_id)
        head, pushed = await repository.run_head(run_id), branches(desk)
        product = await repository.product(head)
        assert worker.roll_back(desk.settings, run_id, "maker", crash_at=f"rollback.{point}") == -9
        await factory.roll_back(run_id, "maker", by="Ada")
        await assert_they_agree(factory, run_id, "maker", head)
        await assert_the_log_knows_the_mail(factory, run_id)
        assert branches(desk) == pushed
        await to_the_end(factory, run_id)
        await assert_the_log_knows_the_mail(factory, run_id)
        assert await repository.product(await repository.run_head(run_id)) == product
        assert set(branches(desk)) == {f"factory/{run_id}", f"factory/{run_id}.again1"}


@pytest.mark.slow
@pytest.mark.parametrize("point", ["release.pushed", "release.requested", "release.merged", "mail.posted"])
async def test_a_run_killed_while_it_is_released_again_is_pushed_once(
    desk: Desk,  # noqa: F811
    source: Path,  # noqa: F811
    point: str,
) -> None:
    async with Factory.open(Settings(**desk.settings)) as factory:
        run_id = await released(factory, source)
        await factory.roll_back(run_id, "painter", by="Ada")
        outcome = await factory.drive(run_id)
        for _ in range(8):
            for asked in outcome.waiting:
                await answer(factory, asked)
            if worker.drive(desk.settings, run_id, crash_at=point) == -9:
                break
            outcome = await factory.drive(run_id)
        else:
            pytest.fail(f"{point} was never passed")
        await to_the_end(factory, run_id)
        repository = await factory.services.repository(run_id)
        assert branches(desk)[f"factory/{run_id}.again1"] == await repository.run_head(run_id)
        assert (await factory.summary(run_id)).pull_request == f"{desk.forge.url}/ada/shop/pull/2"
        await assert_the_log_knows_the_mail(factory, run_id)
