"""A run on a real Ollama, by models that may say anything: it ends in good order, and nothing is lost."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from core.audit import verify
from core.database import Database
from core.events import EventLog
from tests.cli.told import PROGRAM
from tests.e2e.conftest import OpenFactory, assert_nothing_lost
from tests.models.conftest import toml
from tests.models.real import URL, RealOllama, needs_ollama

pytestmark = [pytest.mark.ollama, pytest.mark.slow, needs_ollama]

HURRY: dict[str, Any] = {"call_seconds": 120, "silence_seconds": 120}
LONG = 1500.0
"""Seconds a run may take, on a slow machine."""


def spec(num_predict: int) -> dict[str, Any]:
    return {"num_ctx": 16_384, "num_predict": num_predict, "capabilities": ["tools", "format"]}


async def test_a_report_is_valid_or_the_ladder_ends_blocked(open_factory: OpenFactory) -> None:
    (model,) = RealOllama.look().chats()
    how = {"ollama_url": URL, "model": model, "models": {model: spec(500)}}
    async with open_factory(limits=HURRY, **how) as factory:
        run_id = await factory.submit("A page about scouting", pipeline="one", approve_all=True)
        outcome = await factory.drive(run_id)
        assert outcome.status in {"completed", "awaiting_input"}
        received = await factory.events.read(run_id, kinds=["report.received"])
        invalid = await factory.events.read(run_id, kinds=["report.invalid"])
        called = await factory.events.read(run_id, kinds=["model.called"])
        if not received:  # a model that finds no end has not come to its report
            failed = await factory.events.read(run_id, kinds=["model.failed"])
            assert failed
            assert outcome.status == "awaiting_input"
            return
        replies = sum(1 for event in called if event.payload["call"] == "report")
        claimed = [event for event in received if event.payload["status"] != "BLOCKED"]
        assert len(claimed) <= replies, "nothing is complete that no reply has said"
        for event in invalid:
            assert event.payload["errors"]
        if received[-1].payload["status"] == "BLOCKED":
            assert outcome.status == "awaiting_input"
            assert not await factory.events.read(run_id, kinds=["stage.merged", "release.done"])
        await assert_nothing_lost(factory, run_id)


async def test_the_core_pipeline_ends_in_good_order(
    factory_env: Mapping[str, str], database: Database, tmp_path: Path
) -> None:
    (model,) = RealOllama.look().chats()
    file = tmp_path / "models.toml"
    tables = {"models": {model: spec(400)}, "retry": {"attempts": 2}, "limits": HURRY}
    file.write_text(toml(tables), encoding="utf-8")
    env = {**factory_env, "FACTORY_OLLAMA_URL": URL, "FACTORY_MODELS_FILE": str(file)}
    command = ("run", "A list of books", "--pipeline", "core", "--model", model, "--json")
    process = subprocess.run(
        [*PROGRAM, *command], env=env, cwd=tmp_path, capture_output=True, text=True, timeout=LONG, check=False
    )
    assert "Traceback" not in process.stderr
    assert process.returncode in {0, 3}, process.stderr[-2000:]
    told = json.loads(process.stdout)
    assert told["status"] in {"completed", "awaiting_input"}
    run_id = told["run_id"]
    if told["status"] == "awaiting_input":
        assert told["waiting_for"], "a person is asked"
        assert all(waiting["answer_with"] for waiting in told["waiting_for"])
    events = await EventLog(database).read(run_id)
    failed = [event for event in events if event.kind in {"report.invalid", "model.failed"}]
    called = [event for event in events if event.kind == "model.called"]
    assert called or failed
    assert any(event.payload["raw"] for event in failed) or not failed, "what the model said is kept"
    assert (await verify(database, run_id)).ok
