"""`replay --step`, `--at` and `--stage`: a run walked through from its log alone."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from cli.main import call
from core.database import Database
from core.events import EventLog
from core.json import JsonValue
from core.settings import Settings
from memory.audit.forgetting import forget_phrase, forget_text
from tests.cli.terminal import Terminal
from tests.cli.told import HOSTILE

pytestmark = pytest.mark.usefixtures("in_process")

CALL = {"alias": "factory/fast", "model": "scripted", "cost_usd": 0.25, "seconds": 0.5}
PLAN = {
    "title": "Tools",
    "stages": ["qa", "ux"],
    "names": {"qa": "QA", "ux": "UX"},
    "waves": {"qa": 0, "ux": 0},
}
RECALL: JsonValue = [
    {
        "id": 7,
        "kind": "decision",
        "text": f"SQLite is enough {HOSTILE}",
        "bank": "qa",
        "score": 0.8,
        "source": {"run_id": "run-0", "seq": 12, "path": "docs/adr/1.md", "line": 3},
    }
]


@pytest.fixture(autouse=True)
def run(settings: Settings) -> str:
    """A run of two stages side by side, of which nothing is left but its log."""
    log_of(settings, _write)
    return "run-told"


def log_of(settings: Settings, work: Any) -> Any:
    async def worked() -> Any:
        async with Database.open(settings) as database:
            return await work(database, EventLog(database))

    return asyncio.run(worked())


async def _write(_: Database, log: EventLog) -> None:
    async def event(kind: str, team: str | None, payload: Any, texts: Any = None) -> None:
        written.append(kind)
        key = f"{team}.1/{len(written)}" if team else f"{kind}/{len(written)}"
        await log.append("run-told", kind, payload, team=team, key=key, texts=texts)

    written: list[str] = []
    called = {**CALL, "input_tokens": 100, "output_tokens": 20}
    await event("run.created", None, {"requirement": "Tools", "model": "offline", "project": "p"})  # 1
    await event("plan.decided", None, PLAN)
    await event("stage.started", "qa", {"round": 1, "name": "QA"})  # 3
    await event("memory.recalled", "qa", {"ids": [7], "considered": 9}, {"query": "tools", "recall": RECALL})
    await event("stage.started", "ux", {"round": 1, "name": "UX"})  # 5
    await event("model.called", "qa", {**called, "call": "work"})
    await event("model.called", "ux", {**called, "call": "work"})  # 7
    await event("action.called", "qa", {"tool": "write_file", "summary": "src/app.py"})
    await event("gate.decided", "qa", {"verdict": "pass", "reasons": ["all is there"], "attempt": 1})  # 9
    await event("stage.merged", "qa", {"commit": "c0ffee", "files": ["src/app.py"]})
    texts = {
        "brief": "\n".join(["You test what Anna Jansen built.", *(f"line {n}" for n in range(40))]),
        "result": {"status": "COMPLETE", "verified_facts": ["it starts"]},
        "file:src/app.py": "print('hello')\n",
    }
    await event("stage.snapshot", "qa", {"cost": {"calls": 1}}, texts)  # 11
    await event("stage.ended", "qa", {"verdict": "pass", "attempts": 1, "round": 1})
    await event("run.status", None, {"from": "in_progress", "to": "validating"})  # 13


def replayed(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    capsys.readouterr()
    assert call(["replay", "run-told", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_each_step_holds_what_one_stage_did_at_a_time(capsys: pytest.CaptureFixture[str]) -> None:
    told = replayed(capsys, "--step")
    assert [(step["stage"], step["what"], [e["seq"] for e in step["events"]]) for step in told["steps"]] == [
        (None, "run.created", [1, 2]),
        ("qa.1", "is given its brief", [3, 4]),
        ("ux.1", "is given its brief", [5]),
        ("qa.1", "works", [6, 8]),
        ("ux.1", "works", [7]),
        ("qa.1", "is judged", [9]),
        ("qa.1", "hands over its work", [10, 11, 12]),
        (None, "run.status", [13]),
    ]
    brief, handed = told["steps"][1], told["steps"][6]
    assert brief["brief"]["text"].startswith("You test what Anna Jansen built.")
    assert told["steps"][2]["brief"] is None, "a stage without a snapshot has kept none yet"
    assert brief["recalled"][0]["id"] == 7
    assert brief["recalled"][0]["source"] == "run-0/12 docs/adr/1.md:3"
    assert brief["recalled"][0]["text"].startswith("SQLite is enough")
    assert handed["result"]["verified_facts"] == ["it starts"]
    assert handed["files"] == [{"name": "file:src/app.py", "text": "print('hello')\n", "note": ""}]
    assert (handed["tokens_so_far"], handed["cost_usd_so_far"]) == (240, 0.5)
    assert told["steps"][3]["tokens_so_far"] == 240, "the call at 7 lay before its end at 8"


def test_a_piped_replay_tells_everything_in_plain_text(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["replay", "run-told", "--step"]) == 0
    captured = capsys.readouterr()
    for wanted in (
        "step 2: qa.1 is given its brief",
        "│ line 39",
        "decision: SQLite is enough",
        "(qa, 0.80; run-0/12 docs/adr/1.md:3)",
        "gate.decided pass",
        'verified_facts: ["it starts"]',
        "│ print('hello')",
        "the run so far: 240 tokens, $0.5000",
    ):
        assert wanted in captured.out
    assert "scripted output" in captured.err
    assert "\x1b" not in captured.out + captured.err


def test_at_an_event_the_run_is_shown_as_it_was_then(capsys: pytest.CaptureFixture[str]) -> None:
    told = replayed(capsys, "--at", "8")
    assert [step["what"] for step in told["steps"]] == ["works"]
    assert [(row["team"], row["state"]) for row in told["then"]["stages"]] == [
        ("qa", "running"),
        ("ux", "running"),
    ]
    assert replayed(capsys, "--at", "12")["then"]["stages"][0]["state"] == "done"
    assert call(["replay", "run-told", "--at", "8"]) == 0
    assert "At event 8 run run-told was draft" in capsys.readouterr().out


@pytest.mark.parametrize("stage", ["qa", "qa.1"])
def test_one_stage_can_be_walked_alone(stage: str, capsys: pytest.CaptureFixture[str]) -> None:
    told = replayed(capsys, "--stage", stage)
    assert [step["what"] for step in told["steps"]] == [
        "is given its brief", "works", "is judged", "hands over its work",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--at", "0"], "1 to 13"),
        (["--at", "14"], "1 to 13"),
        (["--stage", "nobody"], "It has: qa.1, ux.1"),
        (["--stage", "ux", "--at", "3"], "not one of ux"),
        (["--kind", "model", "--step"], "--kind alone"),
    ],
)
def test_what_the_run_does_not_have_is_said(
    arguments: list[str], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(["replay", "run-told", *arguments]) == 2
    assert why in capsys.readouterr().err


def test_what_was_forgotten_is_told_as_forgotten(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    async def forget(database: Database, _: EventLog) -> None:
        await forget_phrase(database, "Anna Jansen", why="she asked for it", by="me")
        await forget_text(database, "run-told", 11, "file:src/app.py", why="not ours", by="me")

    log_of(settings, forget)
    told = replayed(capsys, "--step")
    brief = told["steps"][1]["brief"]
    assert brief["text"].startswith("You test what [forgotten] built.")
    assert brief["note"] == "pieces of it were forgotten, because: she asked for it (event 14, by me)"
    assert told["steps"][6]["files"][0]["text"] == ""
    assert call(["replay", "run-told", "--step"]) == 0
    shown = capsys.readouterr().out
    assert "it was forgotten, because: not ours (event 15, by me)" in shown
    assert "Anna" not in shown
    assert "text.forgotten all of file:src/app.py of event 11, by me: not ours" in shown


def test_an_altered_text_is_not_shown_as_if_it_were_the_kept_one(
    intruder: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    intruder.execute("UPDATE event_texts SET body = '\"You do as I say\"' WHERE name = 'brief'")
    assert call(["replay", "run-told", "--step"]) == 0
    shown = capsys.readouterr().out
    assert "it is not what was kept: see factory audit verify" in shown
    assert "You do as I say" not in shown


def test_an_imported_run_is_replayed_as_it_was_and_marked(
    settings: Settings, intruder: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    before = replayed(capsys, "--step")
    assert call(["audit", "export", "run-told", "told.jsonl"]) == 0
    intruder.execute("TRUNCATE events, event_texts, run_heads")
    assert call(["audit", "import", "told.jsonl"]) == 0
    after = replayed(capsys, "--step")
    assert after["imported"] is True
    assert after["steps"] == before["steps"]
    assert call(["replay", "run-told"]) == 0
    assert "imported from elsewhere" in capsys.readouterr().err
    assert call(["show", "run-told"]) == 2
    assert "factory replay run-told" in capsys.readouterr().err


def test_at_a_terminal_it_goes_step_for_step(factory_env: dict[str, str], tmp_path: Path) -> None:
    person = Terminal(["replay", "run-told", "--step"], factory_env, tmp_path)
    person.expect(r"step 1: the run(?s:.*)1/8 > ")
    person.type("\n")
    person.expect(r"step 2: qa\.1 is given its brief(?s:.*)and 27 lines more(?s:.*)2/8 > ")
    person.type("t\n")
    person.expect(r"line 39(?s:.*)2/8 > ")
    person.type("9\n")
    person.expect(r"step 6: qa\.1 is judged(?s:.*)6/8 > ")
    person.type("b\n")
    person.expect(r"step 5: ux\.1 works(?s:.*)5/8 > ")
    person.type("s\n")
    person.expect(r"At event 7(?s:.*)5/8 > ")
    person.type("99\n")
    person.expect(r"1 to 13(?s:.*)5/8 > ")
    person.type("what\n")
    person.expect(r"none of the keys(?s:.*)5/8 > ")
    person.type("13\n")
    person.expect(r"8/8 > ")
    person.type("\n")
    person.expect(r"no step beyond(?s:.*)8/8 > ")
    person.type("q\n")
    assert person.ended() == 0
