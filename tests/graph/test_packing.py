"""A stage that says more than its model's context holds goes on, and nothing of what it said is lost."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from core.settings import Settings
from core.texts import KeptText
from graph.packing import PACKED
from graph.runner import Factory
from tests.doubles.ollama_server import OllamaServer
from tests.faults.worker import drive
from tests.graph.conftest import PACKS
from tests.models.conftest import toml
from tests.packs.brain import Chat, brain, result, write

WINDOW = 16_384
WRITES = 5
WORDS = "The shelf holds maps of the harbour, the river and the old town. " * 140


def page(number: int) -> str:
    return f"# Page {number}\n\nNumber {number} begins. {WORDS}"


def talkative(chat: Chat) -> str:
    """Writes a long page in each turn; which is next it knows from the turns it sees, whole or in short."""
    written = set(re.findall(r"(?:wrote|write_file) (docs/\w+\.md)", chat.text))
    wanted = {f"docs/n{number}.md": page(number) for number in range(WRITES)} | {"docs/scout.md": "# Scout"}
    return next((write(path, text) for path, text in wanted.items() if path not in written), "Done.")


@pytest.fixture
def settings_of(ollama_server: OllamaServer, factory_env: dict[str, str], tmp_path: Path) -> dict[str, Any]:
    """A factory on the small pack whose models have the smallest window that works."""
    ollama_server.brain = brain({"scout/work": talkative, "scout/report": lambda _: result()})
    file = tmp_path / "models.toml"
    file.write_text(toml({"defaults": {"num_ctx": WINDOW, "num_predict": 4_096}}), encoding="utf-8")
    return {
        "home": tmp_path / "home",
        "database_url": factory_env["FACTORY_DATABASE_URL"],
        "pack": "small",
        "pack_dirs": [PACKS],
        "ollama_url": ollama_server.url,
        "models_file": file,
    }


async def kept(factory: Factory, run_id: str) -> dict[tuple[int, str], KeptText]:
    events = await factory.events.read(run_id, kinds=[PACKED])
    return await factory.events.texts(run_id, [event.seq for event in events])


async def test_a_long_conversation_is_packed_and_all_of_it_is_kept(
    settings_of: dict[str, Any], ollama_server: OllamaServer
) -> None:
    async with Factory.open(Settings(**settings_of)) as factory:
        run_id = await factory.submit("Small pages", pipeline="one")
        outcome = await factory.drive(run_id)
        assert [approval.kind for approval in outcome.waiting] == ["review"]
        events = await factory.events.read(run_id, kinds=[PACKED])
        assert events
        assert all(event.team == "scout" and event.payload["window"] == WINDOW for event in events)
        texts = await kept(factory, run_id)
    said = "\n".join(str(text.value) for text in texts.values())
    assert "Number 0 begins" in said
    work = [chat["messages"] for chat in ollama_server.chats if "call: work" in str(chat["messages"])]
    brief = work[0][1]["content"]
    assert all(messages[1]["content"] == brief for messages in work), "the objective stays whole"
    assert any("# Earlier turns" in str(messages) for messages in work)
    assert "Number 0 begins" not in str(work[-1])
    assert "> - write_file docs/n0.md: ok" in work[-1][2]["content"]
    sizes = [sum(len(message["content"].encode()) for message in messages) / 3.5 for messages in work]
    assert max(sizes) <= WINDOW * 0.8


@pytest.mark.slow
async def test_a_stage_killed_while_its_conversation_is_packed_keeps_it_once_and_goes_on(
    settings_of: dict[str, Any],
) -> None:
    async with Factory.open(Settings(**settings_of)) as factory:
        run_id = await factory.submit("Small pages", pipeline="one")
    assert await asyncio.to_thread(drive, settings_of, run_id, crash_at="context.remembered") == -9
    async with Factory.open(Settings(**settings_of)) as factory:
        first = await factory.events.read(run_id, kinds=[PACKED])
        assert len(first) == 1
        outcome = await factory.drive(run_id)
        assert [approval.kind for approval in outcome.waiting] == ["review"]
        again = await factory.events.read(run_id, kinds=[PACKED])
        assert again[0].hash == first[0].hash
        keys = [event.key for event in again]
        assert len(keys) == len(set(keys))
        texts = [text.value for text in (await kept(factory, run_id)).values()]
        ids = [message["id"] for value in texts for message in value]  # pyright: ignore
        assert len(ids) == len(set(ids)), "no turn is kept twice"
