"""Real git repositories in a temporary folder, with nothing of this machine's configuration."""

import subprocess
from pathlib import Path

import pytest

from core.settings import Settings
from workspace.projects import Workspace
from workspace.repository import Repository
from workspace.sandbox import Sandbox
from workspace.stage import StageTree


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(Settings(home=tmp_path / "home"))


@pytest.fixture
async def repository(workspace: Workspace) -> Repository:
    made = await workspace.project("shop")
    await made.begin_run("run-1")
    return made


@pytest.fixture
async def tree(repository: Repository) -> StageTree:
    return await repository.open_stage("run-1", "backend_engineering.1")


@pytest.fixture
async def sandbox(tmp_path: Path) -> Sandbox:
    opened = await Sandbox.open(Settings(home=tmp_path / "home"))
    if not opened.available:
        pytest.skip(f"no sandbox here: {opened.why_not}")
    return opened


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "tree"
    made.mkdir()
    return made


def git(folder: Path, *arguments: str) -> str:
    """What a person's git says in `folder`."""
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()
