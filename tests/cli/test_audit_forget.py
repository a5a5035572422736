"""`factory audit forget`: a phrase is cut out of every text that anybody gave, said or answered."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from cli.main import call
from core.audit import verify
from core.database import Database
from core.events import Event, EventLog
from core.settings import Settings
from graph.runs import Runs

SAID = "Anna Jansen lives at Kerkstraat 12"


@pytest.fixture(autouse=True)
def _here(settings: Settings, database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FACTORY_DATABASE_URL", database_url)
    monkeypatch.setenv("FACTORY_HOME", str(settings.home))
    monkeypatch.chdir(tmp_path)


def within(settings: Settings, *, tell: bool = False, of: str = "run-a") -> list[Event]:
    async def told() -> list[Event]:
        async with Database.open(settings) as database:
            log = EventLog(database)
            if tell:
                await log.append("run-a", "run.created", {"requirement": f"Note: {SAID}."})
            assert (await verify(database)).ok
            return await log.read(of)

    return asyncio.run(told())


def test_it_asks_first_and_then_cuts_the_phrase_out(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    within(settings, tell=True)
    assert call(["audit", "forget", SAID]) != 0
    assert "Nothing was forgotten" in capsys.readouterr().err
    assert within(settings)[0].payload == {"requirement": f"Note: {SAID}."}
    assert call(["audit", "forget", SAID, "--reason", "asked for", "--yes", "--json"]) == 0
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert told["cut"] == [{"run_id": "run-a", "seq": 1, "text": "said:requirement"}]
    assert (told["kept"], told["working_copies"], told["still_working"]) == ([], {}, [])
    created, forgotten = within(settings)
    assert created.payload == {"requirement": "Note: [forgotten]."}
    assert (forgotten.kind, forgotten.payload["why"]) == ("text.forgotten", "asked for")


def test_a_phrase_without_a_word_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["audit", "forget", "…!", "--yes"]) != 0
    assert "There is no word" in capsys.readouterr().err


def test_a_purge_asks_first_and_is_refused_before_its_date(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    async def given() -> str:
        async with Database.open(settings) as db:
            runs = Runs(db, EventLog(db))
            return await runs.create(
                SAID, project="shop", repository=Path("shop"), pipeline="full", model=None, approve_all=False
            )

    run_id = asyncio.run(given())
    assert call(["purge", run_id]) != 0
    assert "Nothing was forgotten" in capsys.readouterr().err
    assert call(["purge", run_id, "--yes"]) != 0
    assert "it has not ended" in capsys.readouterr().err
    assert SAID in str(within(settings, of=run_id)[0].payload)
