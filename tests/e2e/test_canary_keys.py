"""Keys that come in by a requirement, an answer, a reply or an error are kept nowhere but in the worktree."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.cli.process import Process
from tests.doubles.fixtures import ollama_server  # noqa: F401  (a fixture)
from tests.doubles.ollama_server import OllamaServer
from tests.packs.brain import RULES, Chat, ask, brain, result, write

PACKS = Path(__file__).parent.parent / "packs"

BODY = "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"
SHAPES = {
    "openai": "sk-proj-{}" + BODY,
    "anthropic": "sk-ant-api03-{}" + BODY,
    "gemini": "AIzaSy{}" + BODY,
    "github": "ghp_{}" + BODY,
    "gitlab": "glpat-{}" + BODY,
    "huggingface": "hf_{}" + BODY,
    "slack": "xoxb-{}-" + BODY,
}


def keys(mark: str) -> dict[str, str]:
    """A key of each provider's shape; `mark` tells by which way it came in."""
    return {name: shape.format(mark) for name, shape in SHAPES.items()} | {
        "aws": f"AKIA{mark.upper():A<4}0123456789AB",
        "url": f"{mark}Pw0rd{BODY}",
    }


def spoken(mark: str) -> str:
    """The keys in a sentence, the last one as the password of a URL."""
    found = keys(mark)
    url = f"postgres://ada:{found.pop('url')}@db.example/shop"
    return f"use {' and '.join(found.values())} and {url}"


def everywhere(database_url: str) -> dict[str, str]:
    """Every row of every table, as text; what is binary both as text and as it is."""
    found: dict[str, str] = {}
    with psycopg.connect(database_url) as connection:
        tables = connection.execute(
            "SELECT table_schema, table_name FROM information_schema.tables "
            "WHERE table_schema NOT IN ('pg_catalog', 'information_schema') AND table_type = 'BASE TABLE'"
        ).fetchall()
        for schema, name in tables:
            rows: list[tuple[Any, ...]] = connection.execute(
                f'SELECT * FROM "{schema}"."{name}"'  # pyright: ignore[reportArgumentType]
            ).fetchall()
            found[str(name)] = "\n".join(_text(value) for row in rows for value in row)
    return found


def _text(value: Any) -> str:
    if isinstance(value, bytes | memoryview):
        return bytes(value).decode("utf-8", "replace")
    return json.dumps(value, default=str, ensure_ascii=False) if not isinstance(value, str) else value


@pytest.fixture
def env(factory_env: Mapping[str, str], ollama_server: OllamaServer) -> dict[str, str]:  # noqa: F811
    asked: list[int] = []

    def work(chat: Chat) -> str:
        if chat.turn == 0:
            return ask("person", f"Is it right to {spoken('Qstn')}?")
        asked.append(chat.turn)
        return write("docs/scout.md", "# Scout\n\nAll is said.") if chat.turn == 1 else "Done."

    rules = {
        "scout/work": work,
        "scout/report": lambda _: result(verified_facts=[spoken("Fact")], assumptions_made=[spoken("Assu")]),
        "scout/review": lambda _: json.dumps({"findings": [spoken("Find")], "verdict": "approve"}),
    }
    ollama_server.brain = brain({**RULES, **rules})
    ollama_server.error = f"bad gateway: {spoken('Erro')}"
    ollama_server.fail("http-500", times=1)
    return {
        **factory_env,
        "FACTORY_PACK": "small",
        "FACTORY_PACK_DIRS": str(PACKS),
        "FACTORY_OLLAMA_URL": ollama_server.url,
        "FACTORY_LOG_LEVEL": "debug",
    }


def test_canary_keys_stand_in_no_table_no_log_and_no_output(env: dict[str, str], tmp_path: Path) -> None:
    said: list[str] = []

    def factory(*words: str, code: int) -> str:
        done = Process(words, env=env, folder=tmp_path).ended()
        said.append(done.stdout + done.stderr)
        assert done.returncode == code, done.stderr
        return done.stdout

    factory("run", f"Small pages, and {spoken('Requ')}", "--project", "shop", "--pipeline", "one", code=3)
    for _ in range(2):
        shown = json.loads(factory("show", "last", "--json", code=0))
        (waiting,) = shown["waiting_for"]
        if waiting["kind"] == "review":
            break
        factory("answer", waiting["approval_id"], f"yes, {spoken('Answ')}", code=3)
    assert waiting["kind"] == "review"
    factory("reject", waiting["approval_id"], "--reason", f"no: {spoken('Reje')}", code=5)
    said.append(factory("replay", "last", code=0))
    said.append(factory("show", "last", "--json", code=0))
    said.append(factory("costs", "--json", code=0))

    tables = everywhere(env["FACTORY_DATABASE_URL"])
    assert any("All is said." in text for name, text in tables.items() if name.startswith("checkpoint")), (
        "the dump sees what is there"
    )
    assert "[redacted]" in tables["runs"]
    marks = ("Requ", "Answ", "Reje", "Fact", "Assu", "Find", "Erro")
    canaries = {f"{mark}/{name}": key for mark in marks for name, key in keys(mark).items()}
    in_tables = [
        f"{canary} in {table}"
        for table, text in tables.items()
        for canary, key in canaries.items()
        if key in text
    ]
    assert not in_tables
    in_output = {canary for text in said for canary, key in canaries.items() if key in text}
    assert not in_output
    kept = [
        path for path in (tmp_path / ".factory").rglob("*") if path.is_file() and ".git" not in path.parts
    ]
    in_files = [
        f"{canary} in {path}"
        for path in kept
        for canary, key in canaries.items()
        if key.encode() in path.read_bytes()
    ]
    assert not in_files

    # A team's working turns are what is written to the worktree: they stay as they are in the checkpoints.
    asked = {table for table, text in tables.items() for key in keys("Qstn").values() if key in text}
    assert asked <= {"checkpoint_blobs", "checkpoint_writes", "checkpoints"}
