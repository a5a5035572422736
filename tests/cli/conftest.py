"""`factory` as a process, and in this one."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from core.settings import Settings
from tests.cli.process import Process


@pytest.fixture
def call_factory(
    factory_env: dict[str, str], tmp_path: Path
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run `factory …` as a process of its own, in the test's folder and database."""

    def call(*arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
        process = Process(arguments, env=factory_env, folder=tmp_path, given=given.encode())
        return process.ended()

    return call


@pytest.fixture
def in_process(
    settings: Settings, database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Let commands that are called in this process work on the test's own database."""
    monkeypatch.setenv("FACTORY_DATABASE_URL", database_url)
    monkeypatch.setenv("FACTORY_HOME", str(settings.home))
    monkeypatch.chdir(tmp_path)
