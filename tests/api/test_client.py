"""The generated client, and the command line that uses it with --server."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from api import generating
from api.client import Client, ServerAway, ServerDiffers, ServerRefused
from tests.api.conftest import TOKEN, OpenServed, Served
from tests.api.waiting import ASKING, asked, ended, submitted
from tests.cli.process import Process


def test_the_client_is_as_new_as_the_service() -> None:
    stale = [
        name
        for name, text in generating.generated().items()
        if (generating.FOLDER / name).read_text(encoding="utf-8") != text
    ]
    assert stale == [], "make client"


async def test_the_client_speaks_to_the_service(open_served: OpenServed) -> None:
    async with open_served() as served, Client(served.url, TOKEN) as client:
        made = await client.runs_submit({"requirement": "A page about ferns", "pipeline": "one"})
        approval = await asked(served, made["run_id"])
        [open_] = (await client.approvals_list(run=made["run_id"]))["items"]
        assert open_["approval_id"] == approval
        files = (await client.artifacts_list(made["run_id"]))["items"]
        path = next(one["path"] for one in files if "/" in one["path"])
        async with client.artifacts_read(made["run_id"], path) as answer:
            assert await answer.aread()
        with pytest.raises(ServerRefused) as refused:
            await client.runs_show("run-none")
        assert (refused.value.status, refused.value.kind, refused.value.exit_code) == (404, "not-found", 2)


async def test_a_server_that_is_away_or_another_is_told_apart(open_served: OpenServed) -> None:
    async with Client("http://127.0.0.1:9", TOKEN) as client:
        with pytest.raises(ServerAway):
            await client.runs_list()
    async with open_served() as served:
        async with Client(served.url, "wrong") as client:
            with pytest.raises(ServerRefused) as refused:
                await client.runs_list()
            assert refused.value.kind == "not-signed-in"
        async with Client(served.url, TOKEN) as client:
            with pytest.raises(ServerDiffers, match="version"):
                await client.call("GET", "/api/v9/runs")


@dataclass(frozen=True)
class Told:
    """What a command said."""

    code: int
    out: str
    err: str


async def _factory(served: Served, *words: str, **environment: str) -> Told:
    """The command line in a process of its own, on the served factory."""
    env = {**os.environ, "FACTORY_SERVER": served.url, "FACTORY_TOKEN": TOKEN, **environment}
    process = Process(words, env=env, folder=Path.cwd())
    done = await asyncio.to_thread(process.ended)
    return Told(done.returncode, done.stdout, done.stderr)


async def test_a_run_on_a_server_is_followed_asked_about_and_decided(open_served: OpenServed) -> None:
    async with open_served() as served:
        begun = await _factory(served, "run", "A page about ferns", "--pipeline", "one", "--json")
        assert begun.code == 3, begun.err
        assert "stage.started" in begun.err
        run = json.loads(begun.out)
        [waiting] = run["waiting_for"]
        listed = await _factory(served, "runs", "--json")
        assert json.loads(listed.out)["runs"][0]["run_id"] == run["run_id"]
        wrong = await _factory(served, "approve", "approval-none", "--json")
        assert (wrong.code, json.loads(wrong.out)["error"]["code"]) == (2, "approval-not-found")
        done = await _factory(served, "approve", waiting["approval_id"])
        assert done.code == 0, done.err
        assert "run.ended" in done.err
        again = await _factory(served, "reject", waiting["approval_id"])
        assert again.code == 2
        assert "was decided by owner" in again.err


@pytest.mark.slow
async def test_a_server_shows_the_same_as_its_own_machine(
    open_served: OpenServed, factory_env: Mapping[str, str], tmp_path: Path
) -> None:
    async with open_served() as served:
        run_id = await submitted(served)
        await ended(served, run_id)
        await served.http.post(
            "/api/v1/projects/a-page-about-ferns/memories",
            json={"text": "Every page has wide margins for ferns", "team": "scout"},
        )
        here = {**factory_env, "FACTORY_HOME": str(tmp_path / "home"), "FACTORY_SERVER": ""}
        here |= {"FACTORY_OLLAMA_URL": served.factory.settings.ollama_url}
        for words in (
            ("show", run_id, "--json"),
            ("show", "last"),
            ("runs",),
            ("watch", run_id, "--json"),
            ("costs", "--by", "model", "--csv"),
            ("costs", "--json"),
            ("project", "list"),
            ("memory", "search", "a-page-about-ferns", "wide margins"),
        ):
            there, local = await asyncio.gather(_factory(served, *words), _factory(served, *words, **here))
            assert (there.code, there.out) == (local.code, local.out), (words, there.err, local.err)


async def test_a_run_on_a_server_is_cancelled(open_served: OpenServed) -> None:
    async with open_served() as served:
        run_id = await submitted(served, ASKING)
        await asked(served, run_id)
        told = await _factory(served, "cancel", run_id, "--json")
        assert (told.code, json.loads(told.out)["status"]) == (0, "cancelled")
        watched = await _factory(served, "watch", run_id)
        assert watched.code == 5


async def test_a_schedule_on_a_server_is_made_listed_paused_and_removed(open_served: OpenServed) -> None:
    async with open_served() as served:
        await ended(served, await submitted(served))
        project = (await _factory(served, "project", "list", "--json")).out
        name = json.loads(project)["projects"][0]["name"]
        words = ("schedule", "add", name, "Look after it", "--cron", "0 6 * * 1-5", "--budget", "0.50")
        added = await _factory(served, *words, "--json")
        assert added.code == 0, added.err
        made = json.loads(added.out)
        assert (made["requirement"], made["cron"], made["budget_usd"]) == (
            "Look after it",
            "0 6 * * 1-5",
            "0.50",
        )
        listed = await _factory(served, "schedule", "list", name)
        assert made["id"] in listed.out
        beginning = made["id"][:-2]
        paused = await _factory(served, "schedule", "pause", beginning, "--json")
        assert json.loads(paused.out)["paused_by"] == "owner"
        resumed = await _factory(served, "schedule", "resume", beginning, "--json")
        assert json.loads(resumed.out)["paused_at"] is None
        assert (await _factory(served, "schedule", "remove", beginning)).code == 0
        assert json.loads((await _factory(served, "schedule", "list", "--json")).out) == {"schedules": []}
        again = await _factory(served, "schedule", "remove", made["id"])
        assert again.code == 2
        assert "no schedule" in again.err


async def test_what_the_server_decides_is_not_asked_of_it(open_served: OpenServed) -> None:
    async with open_served() as served:
        refused = await _factory(served, "run", "A page", "--model", "offline")
        assert refused.code == 2
        assert "--model cannot be given with --server" in refused.err
        away = await _factory(served, "runs", FACTORY_SERVER="http://127.0.0.1:9")
        assert away.code == 4
        assert "does not answer" in away.err
        other = await _factory(served, "runs", FACTORY_SERVER="ftp://x")
        assert other.code == 2
        stranger = await _factory(served, "runs", FACTORY_TOKEN="wrong")
        assert stranger.code == 2
