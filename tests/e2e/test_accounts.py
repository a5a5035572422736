"""Whole runs on accounts: nothing leaves where that is forbidden, and a refused key is told to nobody."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from tests.doubles.ollama_server import OllamaServer
from tests.doubles.openai_server import OpenAIServer
from tests.e2e.conftest import IMPATIENT, OpenFactory, escalations, released, to_the_end
from tests.models.conftest import toml
from tests.packs.brain import Chat, brain, write

SECRET = "sk-whole-run-0123456789abcdef"
PROJECT = "pages"


def scout(chat: Chat) -> str:
    return write("docs/scout.md", "# Scout") if "wrote docs/scout.md" not in chat.text else "Done."


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Writes a models file with one account at an address, before the local Ollama or alone."""
    monkeypatch.setenv("FAR", SECRET)

    def written(base_url: str, *, alone: bool = False) -> Path:
        chain = ["pool:cloud"] if alone else ["pool:cloud", "qwen3-coder:30b"]
        tables: dict[str, dict[str, Any]] = {
            **IMPATIENT,
            "limits": {**IMPATIENT["limits"], "patience_seconds": 0.1},
            "models": {"gpt-double": {"num_ctx": 65_536, "capabilities": ["tools", "format"]}},
            "accounts": {
                "far": {
                    "provider": "openai", "base_url": base_url, "key_env": "FAR", "models": ["gpt-double"]
                }
            },
            "pools": {"cloud": {"accounts": ["far"]}},
            "aliases": {f"factory/{name}": chain for name in ("architect", "coder", "fast", "cheap")},
        }  # fmt: skip
        path = tmp_path / "accounts.toml"
        path.write_text(toml(tables), encoding="utf-8")
        return path

    return written


@pytest.mark.parametrize("forbidden", [True, False])
async def test_a_whole_run_of_a_project_that_forbids_cloud_sends_it_nothing(
    forbidden: bool,
    file: Any,
    ollama_server: OllamaServer,
    open_factory: OpenFactory,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ollama_server.brain = brain({"scout/work": scout})
    with OpenAIServer(brain=brain({"scout/work": scout})) as beyond:
        # Everything beyond this machine goes through this proxy, and is seen.
        monkeypatch.setenv("HTTP_PROXY", beyond.url.removesuffix("/v1"))
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        operators = tmp_path / "home" / "projects" / PROJECT / "project.toml"
        operators.parent.mkdir(parents=True)
        if forbidden:
            operators.write_text("[models]\nlocal_only = true\n")
        async with open_factory(models_file=file("http://cloud.example/v1")) as factory:
            run_id = await factory.submit("A page", project=PROJECT, pipeline="one", approve_all=True)
            assert (await to_the_end(factory, run_id)).status == "completed"
            assert "docs/scout.md" in await released(factory, run_id)
            called = await factory.events.read(run_id, kinds=["model.called"])
        providers = {event.payload["provider"] for event in called}
        # Where it is allowed the cloud comes first; on a busy machine a call may have gone on to the next.
        assert providers == {"ollama"} if forbidden else "openai" in providers
        assert bool(beyond.paths) is not forbidden


async def test_a_refused_key_is_nowhere_in_the_database_the_logs_or_what_a_person_is_asked(
    file: Any,
    ollama_server: OllamaServer,
    open_factory: OpenFactory,
    tmp_path: Path,
    database_url: str,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    ollama_server.brain = brain({"scout/work": scout})
    with OpenAIServer(keys=set()) as server:  # and it quotes the key in its refusal
        async with open_factory(models_file=file(server.url, alone=True)) as factory:
            run_id = await factory.submit("A page", pipeline="one", approve_all=True)
            outcome = await to_the_end(factory, run_id)
            (asked,) = escalations(outcome)
            assert "key refused" in asked.question
            (excluded,) = await factory.events.read(run_id, kinds=["account.excluded"])
            assert excluded.payload["account"] == "far"
        assert server.counted, "the key was sent to its own server, and to nobody else"
    written = dump(database_url)
    assert run_id in written
    told = {"database": written, "log": caplog.text, "output": "".join(capfd.readouterr())}
    for path in (tmp_path / "home").rglob("*"):
        if path.is_file():
            told[str(path)] = path.read_bytes().decode("utf-8", "replace")
    assert [where for where, text in told.items() if SECRET in text or SECRET[:18] in text] == []


def dump(url: str) -> str:
    """Every row of every table, as text; binary columns decoded where they are text."""
    told: list[str] = []
    with psycopg.connect(url) as connection:
        tables = connection.execute(
            "SELECT table_schema, table_name FROM information_schema.tables "
            "WHERE table_schema NOT IN ('pg_catalog', 'information_schema') AND table_type = 'BASE TABLE'"
        ).fetchall()
        for schema, table in tables:
            rows = connection.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(schema, table)))
            for row in rows.fetchall():
                told += [
                    bytes(value).decode("utf-8", "replace")
                    if isinstance(value, bytes | memoryview)
                    else str(value)
                    for value in row
                ]
    return "\n".join(told)
