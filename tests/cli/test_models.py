"""`factory models`, `check` and `why`, as a program would call them."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.process import Process
from tests.doubles.openai_server import OpenAIServer
from tests.models.conftest import toml
from tests.models.routing.conftest import KEY, MODEL, TABLES


@pytest.fixture
def env(tmp_path: Path, factory_env: dict[str, str]) -> dict[str, str]:
    return factory_env | {
        "FACTORY_OLLAMA_URL": "http://127.0.0.1:1", "FACTORY_MODELS_FILE": str(tmp_path / "models.toml"),
        "KEY_A": KEY.format(0), "KEY_B": KEY.format(1),
    }  # fmt: skip


def factory(env: dict[str, str], *arguments: str) -> tuple[int, Any, str]:
    done = Process([*arguments, "--json"], env=env, folder=Path.cwd()).ended()
    return done.returncode, json.loads(done.stdout), done.stdout + done.stderr


def write(folder: Path, url: str) -> None:
    entry = {"provider": "openai", "base_url": url, "models": [MODEL]}
    accounts = {
        "a": {**entry, "key_env": "KEY_A"},
        "b": {**entry, "key_env": "KEY_B", "base_url": "http://cloud.example/v1"},
        "c": {**entry, "key_env": "NOT_SET"},
    }
    tables = {**TABLES, "accounts": accounts, "pools": {"cloud": {"accounts": ["*"]}}}
    (folder / "models.toml").write_text(toml({**tables, "projects": {"secret": {"local_only": True}}}))


def test_the_models_are_listed_checked_and_explained(tmp_path: Path, env: dict[str, str]) -> None:
    with OpenAIServer(keys={KEY.format(0)}) as server:
        write(tmp_path, server.url)
        code, listed, text = factory(env, "models")
        assert code == 0
        assert [one["account"] for one in listed["accounts"]] == ["a", "b"]
        assert listed["unusable"] == {"c": "no key: NOT_SET is not set"}
        code, checked, more = factory(env, "models", "check", "a")
        assert (code, checked["ok"]) == (0, True)
        server.keys = set()
        code, checked, again = factory(env, "models", "check", "a")
        assert (code, checked["ok"]) == (4, False)
        assert checked["checked"][0]["detail"].startswith("auth: ")
        assert KEY.format(0) not in text + more + again


def test_why_names_who_is_left_out_and_for_what(tmp_path: Path, env: dict[str, str]) -> None:
    write(tmp_path, "http://127.0.0.1:1/v1")
    code, told, _ = factory(env, "models", "why", "backend_engineering", "--project", "secret")
    assert (code, told["alias"], told["local_only"]) == (0, "factory/coder", True)
    considered = {one["account"]: one["excluded"] for one in told["chain"][0]["considered"]}
    assert considered == {"a": "", "b": "local_only: it is not on this machine"}
    code, told, _ = factory(env, "models", "why", "nobody")
    assert code == 2
    assert "neither an alias nor a team" in told["error"]["message"]
