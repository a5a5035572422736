"""`factory webhook`: added, listed, redelivered, removed by people at this machine."""

from __future__ import annotations

import asyncio
import json

import pytest

from api.webhooks import dispatching
from cli.main import call
from core import feed
from core.database import Database
from core.events import EventLog
from core.settings import Settings

pytestmark = pytest.mark.usefixtures("in_process")

URL = "https://hooks.example.org/a-secret-path"


def _happen(settings: Settings) -> None:
    """A run ends, and a server makes its deliveries."""

    async def happen() -> None:
        async with Database.open(settings) as db:
            await EventLog(db).append("run-1", "run.ended", {"status": "completed"})
            async with db.pool.connection() as conn:
                await feed.number(conn, None)
            await dispatching.dispatch(db)

    asyncio.run(happen())


def test_a_webhook_is_added_told_and_removed(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["webhook", "add", URL, "--event", "run.ended", "--event", "incident", "--json"]) == 0
    added = json.loads(capsys.readouterr().out)
    hook = added["webhook"]["id"]
    assert added["webhook"]["events"] == ["incident", "run.ended"]
    assert added["secret"].startswith("whsec_")
    _happen(settings)

    assert call(["webhook", "list"]) == 0
    listed = capsys.readouterr()
    assert hook in listed.out
    assert added["secret"] not in listed.out + listed.err

    assert call(["webhook", "deliveries", hook, "--json"]) == 0
    (delivery,) = json.loads(capsys.readouterr().out)["deliveries"]
    assert (delivery["event"], delivery["state"], delivery["attempts"]) == ("run.ended", "pending", 0)
    assert delivery["message"]["data"]["payload"] == {"status": "completed"}
    assert call(["webhook", "redeliver", delivery["id"]]) == 0
    assert call(["webhook", "enable", hook]) == 0
    assert call(["webhook", "remove", hook]) == 0
    capsys.readouterr()
    assert call(["webhook", "deliveries", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"deliveries": []}


def test_of_its_url_the_log_knows_the_host_alone(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(["webhook", "add", URL, "--event", "run.ended"]) == 0
    secret = capsys.readouterr().out.strip()

    async def told() -> str:
        async with Database.open(settings) as db:
            return repr(await EventLog(db).read("service"))

    log = asyncio.run(told())
    assert "webhook.added" in log
    assert "hooks.example.org" in log
    assert "a-secret-path" not in log
    assert secret.removeprefix("whsec_") not in log


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["add", "http://10.0.0.1/", "--event", "run.ended"], "it is not https"),
        (["add", URL, "--event", "run.begun"], "There is no event run.begun"),
        (["remove", "hook-none"], "There is no webhook hook-none"),
        (["redeliver", "msg-none"], "There is no delivery msg-none"),
        (["deliveries", "hook-none"], "There is no webhook hook-none"),
    ],
)
def test_what_cannot_be_is_said(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["webhook", *arguments]) == 2
    assert said in capsys.readouterr().err
