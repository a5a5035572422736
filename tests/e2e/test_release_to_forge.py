"""A run on an imported repository of 3,000 files ends as a branch in a remote and one pull request."""

import os
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from core.settings import Settings
from graph.runner import Factory
from tests.doubles.forge_server import ForgeServer
from tests.doubles.ollama_server import OllamaServer
from tests.e2e.conftest import assert_nothing_lost
from tests.faults import worker
from tests.packs.brain import brain
from tests.sampling import some
from workspace import project_settings
from workspace.errors import BranchTaken

PACKS = Path(__file__).parent.parent / "packs"
TOKEN = "f4-token-for-the-forge-9917"
FILES = 3_000


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=folder, capture_output=True, text=True, check=True
    ).stdout.strip()


@pytest.fixture(scope="session")
def source(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository whose main branch is called trunk: small, or of as many files as a test says."""
    folder = tmp_path_factory.mktemp("source")
    for number in range(getattr(request, "param", 30)):
        path = folder / f"src/part{number // 60}/module{number}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'"""Module {number}."""\n\nNUMBER = {number}\n')
    git(folder, "init", "-q", "-b", "trunk")
    git(folder, "add", ".")
    git(folder, "-c", "user.name=Ada", "-c", "user.email=ada@example.org", "commit", "-qm", "All of it")
    return folder


@pytest.fixture
def forge(source: Path, tmp_path: Path) -> Iterator[ForgeServer]:
    bare = tmp_path / "forge" / "ada" / "shop.git"
    bare.parent.mkdir(parents=True)
    git(source, "clone", "-q", "--bare", str(source), str(bare))
    git(bare, "config", "http.receivepack", "true")
    with ForgeServer(tmp_path / "forge", token=TOKEN) as server:
        yield server


@dataclass(frozen=True)
class Desk:
    """Where a test's factory works."""

    settings: Mapping[str, Any]
    forge: ForgeServer

    @property
    def bare(self) -> Path:
        return self.forge.root / "ada" / "shop.git"

    def branch_of(self, run_id: str) -> str:
        return git(self.bare, "rev-parse", f"refs/heads/factory/{run_id}")


@pytest.fixture
def desk(
    forge: ForgeServer,
    ollama_server: OllamaServer,
    factory_env: Mapping[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Desk:
    ollama_server.brain = brain()
    monkeypatch.setenv("SHOP_TOKEN", TOKEN)
    settings = {
        "home": tmp_path / "home",
        "database_url": factory_env["FACTORY_DATABASE_URL"],
        "pack": "small",
        "pack_dirs": [PACKS],
        "ollama_url": ollama_server.url,
    }
    desk = Desk(settings, forge)
    set_remote(desk)
    return desk


def set_remote(desk: Desk, **changes: str) -> None:
    fields = {
        "url": desk.forge.git_url("ada/shop"),
        "forge": "github",
        "api": desk.forge.api("github"),
        "token_env": "SHOP_TOKEN",
    }
    remote = project_settings.remote_of(fields | changes, "a test")
    path = project_settings.operators_file(desk.settings["home"], "shop")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(project_settings.with_remote("", remote, "a test"))


async def to_the_gate(factory: Factory, source: Path) -> tuple[str, str]:
    """A run that waits at the deploy gate, and the question's id."""
    run_id = await factory.submit("Small pages", project="shop", repo=source, pipeline="one")
    (review,) = (await factory.drive(run_id)).waiting
    await factory.answer(review.id, "approve", None, by="Ada")
    outcome = await factory.drive(run_id)
    (asked,) = outcome.waiting
    assert (outcome.status, asked.kind) == ("awaiting_input", "release")
    return run_id, asked.id


@pytest.mark.parametrize(
    ("source", "name"), [(FILES, "github"), (30, "gitlab"), (30, "gitea")], indirect=["source"]
)
async def test_a_released_run_is_a_branch_in_the_remote_and_a_pull_request(
    desk: Desk, source: Path, name: str
) -> None:
    set_remote(desk, forge=name, api=desk.forge.api(name))
    status, trunk = git(source, "status", "--porcelain"), git(desk.bare, "rev-parse", "trunk")
    async with Factory.open(Settings(**desk.settings)) as factory:
        run_id, asked = await to_the_gate(factory, source)
        question = await factory.approvals.get(asked)
        assert question.risk == "HIGH"
        for part in (f"factory/{run_id}", desk.forge.git_url("ada/shop"), "trunk", "1 file changed"):
            assert part in question.question
        assert not git(desk.bare, "branch", "--list", "factory/*"), "nothing is pushed before the gate"
        await factory.answer(asked, "approve", None, by="Ada")
        assert (await factory.drive(run_id)).status == "completed"

        summary = await factory.summary(run_id)
        assert summary.pull_request == f"{desk.forge.url}/ada/shop/pull/1"
        repository = await factory.services.repository(run_id)
        assert desk.branch_of(run_id) == await repository.run_head(run_id)
        assert git(desk.bare, "rev-parse", "trunk") == trunk
        assert git(desk.bare, "merge-base", "trunk", f"factory/{run_id}") == trunk
        changed = git(desk.bare, "diff", "--name-only", "trunk", f"factory/{run_id}")
        product = [path for path in changed.splitlines() if not path.startswith(".factory/mail/")]
        assert product == ["docs/scout.md"]
        kinds = [event.kind for event in await factory.events.read(run_id)]
        assert [kind for kind in kinds if kind.startswith("release.")] == [
            "release.pushed",
            "release.requested",
            "release.done",
        ]
        await assert_nothing_lost(factory, run_id)
        await assert_no_token(factory, run_id)
    (opened,) = desk.forge.pulls
    assert (opened["branch"], opened["base"]) == (f"factory/{run_id}", "trunk")
    for part in ("Small pages", "review", "`Ada`", "links", "tokens", "sha256:", "## Audit"):
        assert part in opened["body"]
    assert git(source, "status", "--porcelain") == status


async def assert_no_token(factory: Factory, run_id: str) -> None:
    async with factory.db.pool.connection() as conn:
        for table in ("events", "approvals", "runs"):
            rows = await (await conn.execute(f"SELECT * FROM {table}")).fetchall()  # pyright: ignore[reportArgumentType]
            assert TOKEN not in repr(rows)
    for folder, _, names in os.walk(factory.settings.home / "projects" / "shop"):
        for name in names:
            if not folder.endswith("objects"):
                assert TOKEN.encode() not in (Path(folder) / name).read_bytes()


async def test_a_refused_release_pushes_nothing_and_ends_the_run_as_rejected(
    desk: Desk, source: Path
) -> None:
    async with Factory.open(Settings(**desk.settings)) as factory:
        run_id, asked = await to_the_gate(factory, source)
        await factory.answer(asked, "reject", "not on a Friday", by="Ada")
        assert (await factory.drive(run_id)).status == "rejected"
        assert "not on a Friday" in str((await factory.summary(run_id)).failure)
    assert not git(desk.bare, "branch", "--list", "factory/*")
    assert not desk.forge.pulls


async def test_approve_all_passes_the_deploy_gate_and_leaves_its_mark(desk: Desk, source: Path) -> None:
    async with Factory.open(Settings(**desk.settings)) as factory:
        run_id = await factory.submit(
            "Small pages", project="shop", repo=source, pipeline="one", approve_all=True
        )
        assert (await factory.drive(run_id)).status == "completed"
        decided = await factory.events.read(run_id, kinds=["approval.decided"])
        assert [(e.payload["kind"], e.payload["by"]) for e in decided][-1] == ("release", "--approve-all")
    assert len(desk.forge.pulls) == 1


async def test_a_remote_that_changes_after_the_approval_has_to_be_approved_anew(
    desk: Desk, source: Path
) -> None:
    async with Factory.open(Settings(**desk.settings)) as factory:
        run_id, asked = await to_the_gate(factory, source)
        await factory.answer(asked, "approve", None, by="Ada")
        set_remote(desk, branch_prefix="robots/")
        outcome = await factory.drive(run_id)
        (again,) = outcome.waiting
        assert again.id != asked
        assert "robots/" in again.question
        assert not git(desk.bare, "branch", "--list", "*/run-*")
        await factory.answer(again.id, "approve", None, by="Ada")
        assert (await factory.drive(run_id)).status == "completed"
    assert desk.forge.pulls[0]["branch"] == f"robots/{run_id}"


async def test_a_branch_with_somebody_elses_commits_is_left_alone(desk: Desk, source: Path) -> None:
    async with Factory.open(Settings(**desk.settings)) as factory:
        run_id, asked = await to_the_gate(factory, source)
        tree = git(desk.bare, "rev-parse", "trunk^{tree}")
        who = ("-c", "user.name=Eve", "-c", "user.email=eve@example.org")
        theirs = git(desk.bare, *who, "commit-tree", tree, "-p", "trunk", "-m", "Mine")
        git(desk.bare, "update-ref", f"refs/heads/factory/{run_id}", theirs)
        await factory.answer(asked, "approve", None, by="Ada")
        with pytest.raises(BranchTaken):
            await factory.drive(run_id)
        assert desk.branch_of(run_id) == theirs
        assert (await factory.services.run(run_id)).status == "deployable"
        assert [e.payload["step"] for e in await factory.events.read(run_id, kinds=["release.failed"])]

        git(desk.bare, "update-ref", "-d", f"refs/heads/factory/{run_id}")
        assert (await factory.drive(run_id)).status == "completed"
    assert len(desk.forge.pulls) == 1


async def test_a_forge_that_refuses_leaves_a_run_that_can_be_resumed(
    desk: Desk, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Factory.open(Settings(**desk.settings)) as factory:
        run_id, asked = await to_the_gate(factory, source)
        await factory.answer(asked, "approve", None, by="Ada")
        desk.forge.failures = [403]
        with pytest.raises(Exception, match="403") as raised:
            await factory.drive(run_id)
        assert TOKEN not in str(raised.value)
        assert (await factory.drive(run_id)).status == "completed"
        await assert_no_token(factory, run_id)
    assert len(desk.forge.pulls) == 1


@pytest.mark.parametrize("source", [FILES], indirect=True)
async def test_a_run_killed_between_push_and_request_on_a_big_import_ends_with_one_request(
    desk: Desk, source: Path
) -> None:
    await killed_at("release.pushed", desk, source)


@pytest.mark.parametrize(
    "point",
    some(
        [
            *("release.pushed", "propose.exit", "push.enter", "push.exit", "request.enter"),
            *("release.requested", "request.exit", "release.merged"),
        ],
        of=5,
    ),
)
async def test_a_run_that_is_killed_while_it_releases_ends_with_one_branch_and_one_pull_request(
    desk: Desk, source: Path, point: str
) -> None:
    await killed_at(point, desk, source)


async def killed_at(point: str, desk: Desk, source: Path) -> None:
    """Kill a run at `point` of its release, drive it on, and look at what there is."""
    async with Factory.open(Settings(**desk.settings)) as factory:
        run_id = await factory.submit(
            "Small pages", project="shop", repo=source, pipeline="one", approve_all=True
        )
        assert worker.drive(desk.settings, run_id, crash_at=point) == -9
        assert worker.drive(desk.settings, run_id) == 0
        assert (await factory.services.run(run_id)).status == "completed"
        pushed = await factory.events.read(run_id, kinds=["release.pushed", "release.requested"])
        assert [event.kind for event in pushed] == ["release.pushed", "release.requested"]
        await assert_nothing_lost(factory, run_id)
    assert len(desk.forge.pulls) == 1
    assert git(desk.bare, "branch", "--list", "factory/*", "--format=%(refname:short)") == f"factory/{run_id}"


async def test_what_the_repository_says_of_a_remote_is_not_used(
    desk: Desk, source: Path, tmp_path: Path
) -> None:
    project_settings.operators_file(desk.settings["home"], "shop").unlink()
    evil = tmp_path / "evil"
    git(tmp_path, "clone", "-q", str(source), str(evil))
    (evil / "project.toml").write_text(
        f'[remote]\nurl = "{desk.forge.git_url("ada/shop")}"\nforge = "github"\n'
        f'api = "{desk.forge.api("github")}"\ntoken_env = "SHOP_TOKEN"\n'
    )
    git(evil, "add", ".")
    git(evil, "-c", "user.name=Eve", "-c", "user.email=eve@example.org", "commit", "-qm", "Mine")
    async with Factory.open(Settings(**desk.settings)) as factory:
        run_id = await factory.submit(
            "Small pages", project="shop", repo=evil, pipeline="one", approve_all=True
        )
        assert (await factory.drive(run_id)).status == "completed"
        assert not await factory.events.read(run_id, kinds=["release.pushed"])
        repository = await factory.services.repository(run_id)
        assert "docs/scout.md" in await repository.files("refs/heads/main")
    assert not desk.forge.requests


async def test_the_token_is_in_no_processs_arguments(
    desk: Desk, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    real = __import__("asyncio").create_subprocess_exec

    async def listed(*words: Any, **more: Any) -> Any:
        seen.extend(str(word) for word in words)
        return await real(*words, **more)

    monkeypatch.setattr("asyncio.create_subprocess_exec", listed)
    async with Factory.open(Settings(**desk.settings)) as factory:
        run_id = await factory.submit(
            "Small pages", project="shop", repo=source, pipeline="one", approve_all=True
        )
        assert (await factory.drive(run_id)).status == "completed"
    assert "push" in seen
    assert not any(TOKEN in word for word in seen)


async def test_a_bare_remote_in_a_folder_needs_no_token(desk: Desk, source: Path) -> None:
    set_remote(desk, url=str(desk.bare), repository="ada/shop")
    async with Factory.open(Settings(**desk.settings)) as factory:
        run_id = await factory.submit(
            "Small pages", project="shop", repo=source, pipeline="one", approve_all=True
        )
        assert (await factory.drive(run_id)).status == "completed"
        assert desk.branch_of(run_id) == await (await factory.services.repository(run_id)).run_head(run_id)
