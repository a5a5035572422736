"""The live table and the plain lines: folds over events, drawn without harm on any screen."""

import io
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rich.console import Console

from cli.live import Feed, Lines, Table, doing
from cli.screen import Screen
from core.events import Event
from graph.narration import tell
from graph.progress import StageRow
from tests.cli.told import HOSTILE, PLANNED

START = datetime(2030, 1, 1, 12, tzinfo=UTC)


def _events() -> list[Event]:
    return [
        Event("run-1", place, START + timedelta(seconds=place), kind, team, dict(payload), "", "")
        for place, (kind, team, payload) in enumerate(PLANNED, start=1)
    ]


def _drawn(table: Table, *, width: int = 100, height: int = 40) -> str:
    console = Console(file=io.StringIO(), width=width, height=height, force_terminal=True, color_system=None)
    console.print(table.picture())
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_the_table_has_a_row_a_stage_with_state_tokens_and_what_it_does() -> None:
    table = Table("run-1", 40)
    for event in _events():
        table.apply(event)
    drawn = _drawn(table)
    assert "✓ done" in drawn
    assert "▸ running" in drawn
    assert "- skipped" in drawn
    assert "1,234" in drawn
    assert "\x1b" not in drawn
    assert HOSTILE not in drawn


def test_a_low_screen_shows_what_moves_and_counts_the_rest() -> None:
    table = Table("run-1", 8)
    names = {f"team_{number}": f"Team {number}" for number in range(17)}
    planned = {"title": "", "stages": list(names), "skipped": {}, "names": names, "waves": {}}
    table.apply(Event("run-1", 1, START, "plan.decided", None, planned, "", ""))
    table.apply(Event("run-1", 2, START, "stage.started", "team_16", {"round": 1}, "", ""))
    drawn = _drawn(table)
    assert "Team 16" in drawn
    assert "13 more stages" in drawn


def test_the_table_says_what_waits_with_the_command_that_answers_it_and_then_who_decided() -> None:
    table = Table("run-1", 40)
    asked = {
        "approval_id": "approval-7",
        "kind": "review",
        "title": f"Review {HOSTILE}",
        "question": "Is it?",
    }
    table.apply(
        Event("run-1", 1, START, "approval.requested", None, asked | {"allowed": ["approve"]}, "", "")
    )
    drawn = _drawn(table)
    assert "? Review" in drawn
    assert "  factory approve approval-7\n" in drawn
    decided = {"approval_id": "approval-7", "decision": "approve", "by": f"dora {HOSTILE}"}
    table.apply(Event("run-1", 2, START, "approval.decided", None, decided, "", ""))
    drawn = _drawn(table)
    assert "approve by dora" in drawn
    assert "factory approve" not in drawn
    assert HOSTILE not in drawn


@pytest.mark.parametrize("width", [20, 60, 200])
def test_no_line_of_the_table_is_wider_than_the_screen(width: int) -> None:
    table = Table("run-1", 40)
    for event in _events():
        table.apply(event)
    assert all(len(line) <= width for line in _drawn(table, width=width).splitlines())


def test_the_feed_shows_each_event_once() -> None:
    out = Console(file=io.StringIO(), width=200, markup=False)
    feed = Feed(Lines(Screen(err=out)))
    for event in [*_events(), *_events()]:
        feed.show(event)
    lines = out.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert len(lines) == len(set(lines))
    assert sum("stage.started" in line for line in lines) == 2


@pytest.mark.parametrize(
    ("kind", "payload", "said"),
    [
        ("memory.recalled", {"ids": [2 << 32 | 17, 7], "considered": 1}, "told m2.17, m7"),
        ("memory.recalled", {"ids": []}, "told nothing"),
        (
            "memory.retained",
            {"ids": [1 << 32 | 1], "superseded": [1 << 32 | 2], "echoes": 1, "unsupported": 3, "known": 0},
            "kept m1.1, superseded m1.2, left out: 1 repeated, 3 not borne out",
        ),
        ("memory.retained", {"ids": [], "masked": 0}, "nothing to keep"),
        (
            "memory.learned",
            {"version": 5, "lines": 3, "way": "digest"},
            "version 5 of the team's page, by digest: 3 lines",
        ),
        ("memory.taken_back", {"ids": [9], "restored": [8], "why": "failed"}, "m9: failed, held again: m8"),
        ("memory.forgotten", {"ids": [9], "by": "ada", "why": "asked"}, "m9, by ada: asked"),
        (
            "mail.posted",
            {"kind": "hand-off", "from": "qa", "to": list("abcdef"), "subject": "Done", "path": "x"},
            "hand-off from qa to a, b, c, d and 2 more: Done",
        ),
    ],
)
def test_what_memory_and_mail_do_is_told_in_words(kind: str, payload: dict[str, Any], said: str) -> None:
    assert tell(Event("run-1", 1, START, kind, None, payload, "", "")) == f"{kind} {said}"


def test_an_event_of_another_version_is_told_with_all_that_it_holds() -> None:
    strange = Event("run-1", 1, START, "gate.decided", "qa", {"ruling": "maybe"}, "", "")
    assert tell(strange) == "qa: gate.decided ruling=maybe"
    unknown = Event("run-1", 2, START, "moon.landed", None, {"crew": 2}, "", "")
    assert tell(unknown) == "moon.landed crew=2"


def test_the_last_column_says_how_a_stage_ended() -> None:
    row = StageRow(team="qa", name="QA", state="done", verdict="pass", attempts=2)
    assert doing(row) == "pass after 2 attempts"
