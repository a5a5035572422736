"""A run on an imported repository is judged by what it changed."""

import subprocess
from pathlib import Path

import pytest

from graph.runner import Factory
from tests.graph.conftest import OpenSmall
from tests.packs.brain import Chat, write

OLD = "AKIA" + "IOSFODNN7ABCDEFG"


def git(folder: Path, *arguments: str) -> str:
    me = ("-c", "user.name=Ada", "-c", "user.email=ada@localhost")
    return subprocess.run(
        ["git", *me, *arguments], cwd=folder, capture_output=True, text=True, check=True
    ).stdout.strip()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A repository with a broken link and a key in it."""
    folder = tmp_path / "source"
    (folder / "docs").mkdir(parents=True)
    (folder / "README.md").write_text("# Shop\n\n[gone](docs/gone.md)\n")
    (folder / "settings.py").write_text(f"KEY = '{OLD}'\n")
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "All of it")
    return folder


async def drive(factory: Factory, source: Path) -> str:
    run_id = await factory.submit("Small pages", project="shop", repo=source, pipeline="one")
    await factory.drive(run_id)
    return run_id


async def test_old_faults_of_an_import_reach_the_review_and_fail_no_gate(
    open_small: OpenSmall, source: Path
) -> None:
    async with open_small() as factory:
        run_id = await drive(factory, source)
        (asked,) = (await factory.drive(run_id)).waiting
        assert asked.kind == "review"
        ran = await factory.events.read(run_id, kinds=["check.ran"])
        told = {str(e.payload["name"]): e.payload for e in ran if e.team is None}
        assert told["links"]["before"] == ["README.md:3: docs/gone.md is not there"]
        assert told["secrets"]["passed"] is True
        assert OLD not in str([event.payload for event in ran])
        repository = await factory.services.repository(run_id)
        assert "baseline" not in await repository.open_stages(run_id)


async def test_a_new_fault_beside_the_old_ones_does_not_pass_the_gate(
    open_small: OpenSmall, source: Path
) -> None:
    def careless(chat: Chat) -> str:
        return write("docs/scout.md", "# Scout\n\n[new](nowhere.md)") if chat.turn == 0 else "Done."

    async with open_small({"scout/work": careless}) as factory:
        run_id = await drive(factory, source)
        ruled = await factory.events.read(run_id, kinds=["gate.decided"])
        assert ruled[0].payload["verdict"] == "retry"
        reasons = str(ruled[0].payload["reasons"])
        assert "docs/scout.md:3: nowhere.md is not there" in reasons
        assert "gone.md" not in reasons
