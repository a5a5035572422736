"""A run that was recorded plays again with the servers off; what differs is said loudly."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from graph.driver import Outcome
from graph.runner import Factory
from models.cassette import CassetteInvalid, ReplayDiverged
from tests.cli.process import Process
from tests.doubles.failures import Failure
from tests.doubles.ollama_server import OllamaServer
from tests.e2e.conftest import OpenFactory
from tests.packs.brain import brain

SECRET = "sk-live-1234567890abcdefghij"
REQUIREMENT = "Small pages"


async def to_the_end(factory: Factory, requirement: str = REQUIREMENT) -> tuple[str, Outcome]:
    """Drive a run, approving and answering in the same words each time."""
    run_id = await factory.submit(requirement, project="pages", approve_all=False)
    outcome = await factory.drive(run_id)
    for _ in range(20):
        if not outcome.waiting:
            break
        for approval in outcome.waiting:
            kind = "approve" if "approve" in approval.allowed and approval.kind == "review" else "respond"
            text = None if kind == "approve" else "use the blue paint, yes"
            await factory.answer(approval.id, kind, text, by="a test")
        outcome = await factory.drive(run_id)
    return run_id, outcome


CANARY_TOKENS = 128


async def reports(factory: Factory, run_id: str) -> list[tuple[str, str]]:
    """What each team reported: side by side in a wave, they do so in any order."""
    events = await factory.events.read(run_id, kinds=["report.received"])
    return sorted((str(event.team), str(event.payload)) for event in events)


async def tree(factory: Factory, run_id: str) -> str:
    return await (await factory.services.repository(run_id)).product("refs/heads/main")


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


async def test_a_recorded_run_replays_with_the_servers_off(
    ollama_server: OllamaServer, open_factory: OpenFactory, tmp_path: Path
) -> None:
    ollama_server.brain = brain()
    tape = tmp_path / "run.jsonl"
    async with open_factory(record_file=tape) as factory:
        recorded, outcome = await to_the_end(factory)
        assert outcome.status == "completed"
        product = await tree(factory, recorded)
        replies = await reports(factory, recorded)
    calls = [line for line in lines(tape) if "call" in line]
    canaries = [chat for chat in ollama_server.chats if chat["options"]["num_predict"] == CANARY_TOKENS]
    assert len(calls) == len(ollama_server.chats) - len(canaries)
    assert [line for line in lines(tape) if "recalled" in line], (
        "a later stage recalls what an earlier one left"
    )
    assert all(call["input_tokens"] > 0 and call["seconds"] >= 0 for call in calls)
    asked = len(ollama_server.requests)
    async with open_factory(
        home=tmp_path / "other", model=f"replay:{tape}", ollama_url="http://127.0.0.1:1"
    ) as factory:
        assert factory.announcements == ["replay: answers recorded in run.jsonl, no model is asked"]
        again, outcome = await to_the_end(factory)
        assert outcome.status == "completed"
        assert await tree(factory, again) == product
        assert await reports(factory, again) == replies
    assert len(ollama_server.requests) == asked


async def test_a_failure_of_a_model_is_replayed_too(
    ollama_server: OllamaServer, open_factory: OpenFactory, tmp_path: Path
) -> None:
    ollama_server.brain = brain()
    tape = tmp_path / "run.jsonl"
    ollama_server.failures.append(Failure("http-500", 2))
    async with open_factory(record_file=tape) as factory:
        recorded, outcome = await to_the_end(factory)
        product, ended = await tree(factory, recorded), outcome.status
    assert [line["error"] for line in lines(tape) if "error" in line]
    async with open_factory(home=tmp_path / "other", model=f"replay:{tape}") as factory:
        again, outcome = await to_the_end(factory)
        assert outcome.status == ended
        assert await tree(factory, again) == product


async def test_a_replay_that_differs_says_where_and_what(
    ollama_server: OllamaServer, open_factory: OpenFactory, tmp_path: Path
) -> None:
    ollama_server.brain = brain()
    tape = tmp_path / "run.jsonl"
    async with open_factory(record_file=tape) as factory:
        await to_the_end(factory)
    async with open_factory(home=tmp_path / "other", model=f"replay:{tape}") as factory:
        with pytest.raises(ReplayDiverged) as diverged:
            await to_the_end(factory, "Small pages, in green")
    said = str(diverged.value)
    assert "sends something else than it sent then" in said
    assert "-Small pages" in said.replace("> ", "")
    assert "+Small pages, in green" in said.replace("> ", "")
    assert "No model was asked" in said


async def test_no_secret_is_on_a_cassette(
    ollama_server: OllamaServer,
    open_factory: OpenFactory,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SHOP_API_KEY", "correct-horse-battery")
    ollama_server.brain = brain()
    tape = tmp_path / "run.jsonl"
    async with open_factory(record_file=tape) as factory:
        await to_the_end(factory, f"Small pages. The key is {SECRET}, the other correct-horse-battery.")
    written = tape.read_text()
    assert "Small pages" in written
    assert SECRET not in written
    assert "correct-horse-battery" not in written


async def test_a_cassette_of_another_run_is_not_written_over(
    ollama_server: OllamaServer, open_factory: OpenFactory, tmp_path: Path
) -> None:
    ollama_server.brain = brain()
    tape = tmp_path / "run.jsonl"
    tape.write_text('{"cassette":1,"run":"run-other"}\n')
    async with open_factory(record_file=tape) as factory:
        with pytest.raises(CassetteInvalid, match="is no recording of run"):
            await to_the_end(factory)
    assert tape.read_text() == '{"cassette":1,"run":"run-other"}\n'
    assert not ollama_server.chats


@pytest.mark.parametrize("place", ["", "none/run.jsonl"])
async def test_a_recording_that_cannot_be_written_is_refused_before_anything_is_started(
    place: str, open_factory: OpenFactory, tmp_path: Path
) -> None:
    with pytest.raises(CassetteInvalid, match="Nothing can be recorded in"):
        async with open_factory(record_file=tmp_path / place):
            pass


@pytest.mark.parametrize("content", ["", "{}", "not json\n{}\n", '{"cassette":99,"run":"r"}\n', "\xff"])
async def test_a_file_that_is_no_cassette_is_refused(
    content: str, open_factory: OpenFactory, tmp_path: Path
) -> None:
    (tmp_path / "run.jsonl").write_text(content, encoding="latin-1")
    with pytest.raises(CassetteInvalid, match=r"run\.jsonl"):
        async with open_factory(model=f"replay:{tmp_path / 'run.jsonl'}"):
            pass


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--replay", "t.jsonl", "--model", "offline"], "neither --model nor --record"),
        (["--replay", "none.jsonl"], "none.jsonl cannot be read"),
        (["--record", "t.jsonl"], "t.jsonl is there already"),
        (["--record", "no/folder/t.jsonl"], "There is no folder"),
    ],
)
def test_what_cannot_be_recorded_is_told_before_anything_starts(
    options: list[str], says: str, factory_env: Mapping[str, str], tmp_path: Path
) -> None:
    (tmp_path / "t.jsonl").write_text("mine")
    done = Process(["run", "A list", *options], env=factory_env, folder=tmp_path).ended()
    assert done.returncode == 2, done
    assert says in " ".join(done.stderr.split())
    assert (tmp_path / "t.jsonl").read_text() == "mine"
