"""`runs`, `show`, `watch`, `replay` and `audit verify` over a run that stands in the log."""

import asyncio
import json

import pytest

from cli.main import call
from cli.records import SCRIPTED
from core.settings import Settings
from models.service import ANNOUNCEMENT
from tests.cli.told import HOSTILE, PLANNED, Told, tell_run

pytestmark = pytest.mark.usefixtures("in_process")

WORKING = ("governance_analysis", "approved", "planning", "in_progress")


def test_runs_lists_the_newest_first(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["runs"]) == 0
    assert "no run yet" in capsys.readouterr().out
    first, second = tell_run(settings, WORKING), tell_run(settings, ["governance_analysis", "rejected"], [])
    assert call(["runs", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)["runs"]
    assert [run["run_id"] for run in listed] == [second, first]
    assert call(["runs", "--limit", "1"]) == 0
    shown = capsys.readouterr().out
    assert second in shown
    assert first not in shown


def test_show_tells_stages_status_and_that_it_was_scripted(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    run_id = tell_run(settings, (*WORKING, "failed"))
    assert call(["show", run_id]) == 0
    captured = capsys.readouterr()
    assert f"{run_id}: failed" in captured.out
    assert "1,234" in captured.out
    assert "skipped" in captured.out
    assert SCRIPTED in captured.err
    assert SCRIPTED == ANNOUNCEMENT


def test_the_json_of_a_run_has_the_promised_fields(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    tell_run(settings, WORKING)
    assert call(["show", "last", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    promised = {"run_id", "status", "project", "repository", "tag", "cost_usd", "tokens", "seconds", "stages"}
    assert promised | {"waiting_for"} <= told.keys()
    fields = {"team", "verdict", "attempts", "seconds", "tokens", "cost_usd", "skipped_because"}
    assert all(fields <= stage.keys() for stage in told["stages"])
    assert told["status"] == "in_progress"


CHECKED: Told = [
    *PLANNED,
    (
        "check.ran",
        None,
        {
            "name": "tests",
            "passed": False,
            "score": 50,
            "weight": 30,
            "summary": f"1 passed, 1 failed {HOSTILE}",
            "details": [f"test_a::test_b {HOSTILE}"],
            "before": ["test_a::test_old"],
        },
    ),
    (
        "check.ran",
        None,
        {"name": "audit", "passed": None, "score": 0, "weight": 10, "summary": "not run: no base"},
    ),
    ("check.ran", None, {"name": "links", "passed": True, "score": 100, "summary": "of an older program"}),
]


def test_show_tells_score_ticks_and_what_was_not_run(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    run_id = tell_run(settings, WORKING, CHECKED)
    assert call(["show", run_id]) == 0
    shown = capsys.readouterr().out
    assert "score 50 of 100 from 2 checks, 30 of 40 by weight" in shown
    assert "✘ tests 50/100 (weight 30): 1 passed, 1 failed" in shown
    assert "was there before: test_a::test_old" in shown
    assert "- not run: audit (no base)" in shown
    assert "\x1b" not in shown
    assert call(["show", run_id, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["score"] == 50
    assert [(check["name"], check["passed"]) for check in told["checks"]] == [
        ("tests", False),
        ("audit", None),
        ("links", True),
    ]


@pytest.mark.parametrize("command", [["show"], ["replay"], ["watch"], ["audit", "verify"], ["resume"]])
def test_an_unknown_run_is_a_usage_error_with_advice(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert call([*command, "run-nobody"]) == 2
    assert "factory runs" in capsys.readouterr().err
    assert call([*command, "last", "--json"]) == 2
    assert "error" in json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("name", ["run-\x00", "\udcff", "run-\n\x1b[2J"])
def test_a_name_that_no_run_can_have_is_a_usage_error(
    settings: Settings, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    for command in ("show", "diff", "watch"):
        assert call([command, name]) == 2
        assert "No run starts with" in capsys.readouterr().err


def test_a_run_is_found_by_a_unique_beginning(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    run_id = tell_run(settings, WORKING)
    assert call(["show", run_id[:12], "--json"]) == 0
    tell_run(settings, WORKING)
    capsys.readouterr()
    assert call(["show", "run-", "--json"]) == 2


@pytest.mark.parametrize("command", [["runs"], ["show", "last"], ["replay", "last"], ["watch", "last"]])
def test_nothing_a_model_wrote_controls_the_terminal(
    command: list[str], settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    tell_run(settings, (*WORKING, "failed"))
    call(command)
    captured = capsys.readouterr()
    assert "\x1b" not in captured.out + captured.err
    assert "\x07" not in captured.out + captured.err


def test_replay_walks_every_event_in_order(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    run_id = tell_run(settings, WORKING)
    assert call(["replay", run_id, "--json"]) == 0
    events = json.loads(capsys.readouterr().out)["events"]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert call(["replay", run_id]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(events)
    assert "run.created" in lines[0]
    assert "[red]hostile[/red]" in lines[0]


def test_replay_can_be_narrowed_to_kinds_and_families(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    tell_run(settings, WORKING)
    assert call(["replay", "last", "--kind", "stage", "--kind", "model.called", "--json"]) == 0
    kinds = [event["kind"] for event in json.loads(capsys.readouterr().out)["events"]]
    assert kinds == [
        "stage.skipped",
        "stage.started",
        "model.called",
        "stage.ended",
        "stage.started",
    ]
    assert call(["replay", "last", "--kind", "nonsense"]) == 2
    assert "stage.started" in capsys.readouterr().err


def test_audit_verify_says_that_the_chain_is_whole(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    run_id = tell_run(settings, WORKING)
    assert call(["audit", "verify"]) == 0
    assert "The chain is whole" in capsys.readouterr().out
    assert call(["audit", "verify", run_id, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["ok"] is True
    assert report["runs"] == 1
    assert report["broken"] is None


def test_audit_verify_names_the_broken_link_and_fails(
    settings: Settings, database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    import psycopg

    run_id = tell_run(settings, WORKING)

    async def tamper() -> None:
        async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as owner:
            await owner.execute("ALTER TABLE factory.events DISABLE TRIGGER USER")
            await owner.execute("UPDATE factory.events SET hash = repeat('0', 64) WHERE seq = 3")

    asyncio.run(tamper())
    assert call(["audit", "verify"]) == 4
    captured = capsys.readouterr()
    assert run_id in captured.out
    assert "broken at event" in captured.out
    assert call(["audit", "verify", "--json"]) == 4
    assert json.loads(capsys.readouterr().out)["broken"]["run_id"] == run_id


@pytest.mark.parametrize(
    ("statuses", "code"),
    [
        ((*WORKING, "failed"), 4),
        (("governance_analysis", "rejected"), 5),
        ((*WORKING, "cancelled"), 5),
        ((*WORKING, "validating", "deployable", "completed"), 0),
        ((*WORKING, "awaiting_input"), 3),
    ],
)
def test_watch_ends_with_the_code_of_the_status(
    statuses: tuple[str, ...], code: int, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    tell_run(settings, statuses)  # type: ignore[arg-type]
    assert call(["watch", "last", "--json"]) == code
    captured = capsys.readouterr()
    assert json.loads(captured.out)["status"] == statuses[-1]
    assert "stage.started" in captured.err
