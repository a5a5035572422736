"""Files of a run as tables and plots: what is read out of them, and how the page gets it."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import Any

import pytest

from chat.tables import MOST_CHARACTERS, MOST_COLUMNS, MOST_ROWS, NoTable, may_be, read
from chat.timeline import Timeline
from core.events import Event
from tests.chat.conftest import OpenChat
from tests.chat.test_bad_input import zipped


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("a.csv", "name,ms\nold,12.5\nnew,3\n"),
        ("a.csv", "name;ms\nold;12.5\nnew;3\n"),
        ("a.tsv", "name\tms\nold\t12.5\nnew\t3"),
        ("a.jsonl", '{"name": "old", "ms": 12.5}\n\n{"name": "new", "ms": 3}\n'),
        ("a.json", '[{"name": "old", "ms": 12.5}, {"name": "new", "ms": 3}]'),
        ("a.json", '{"when": "today", "results": [{"name": "old", "ms": 12.5}, {"name": "new", "ms": 3}]}'),
    ],
)
def test_the_same_rows_come_out_of_each_kind_of_file(path: str, text: str) -> None:
    table = read(path, text)
    assert (table.columns, table.numbers, table.total) == (["name", "ms"], [1], 2)
    assert table.rows == [["old", 12.5], ["new", 3]]


def test_fields_within_fields_and_plain_values_are_columns_and_rows() -> None:
    nested = read("a.json", '[{"name": "x", "stats": {"mean": 1, "more": {"p95": 2}}}]')
    assert nested.columns == ["name", "stats.mean", "stats.more.p95"]
    assert nested.numbers == [1, 2]
    plain = read("a.json", '{"p50": 1, "p95": 3}')
    assert (plain.columns, plain.rows) == (["name", "value"], [["p50", 1], ["p95", 3]])
    assert read("a.json", "[[1, 2], [3]]").rows == [[1, 2], [3, None]]


def test_what_is_big_is_cut_and_says_how_much_there_was() -> None:
    wide = ",".join(f"c{number}" for number in range(100))
    line = ",".join(["x" * 1_000] * 100)
    table = read("a.csv", "\n".join([wide, *[line] * 10]))
    assert (len(table.columns), len(table.rows[0][0] or "")) == (MOST_COLUMNS, MOST_CHARACTERS)  # pyright: ignore
    long = read("a.csv", "n\n" + "1\n" * 2_000)
    assert (len(long.rows), long.total) == (MOST_ROWS, 2_000)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("a.json", "[" * 100_000),
        ("a.json", '{"name": "a service", "paths": {"/": {}}}'),
        ("a.json", "no JSON"),
        ("a.json", "[]"),
        ("a.csv", ""),
        ("a.csv", '"' + "x" * 200_000),
        ("a.csv", "x" * 2_000_001),
    ],
)
def test_what_is_no_table_is_said_to_be_none(path: str, text: str) -> None:
    with pytest.raises(NoTable):
        read(path, text)


def test_a_file_made_to_be_slow_is_read_in_no_time() -> None:
    began = time.process_time()
    read("a.csv", "'" * 20_000 + ',"' * 20_000 + "\n" + '"a",' * 20_000)
    assert time.process_time() - began < 2


def test_values_that_are_no_numbers_in_json_do_not_get_through() -> None:
    table = read("a.json", '[{"x": NaN, "y": 1e999, "z": 99999999999999999999999, "t": true}]')
    assert table.numbers == [2]
    assert json.loads(json.dumps(table.record(), allow_nan=False))["rows"] == [["nan", "inf", 1e23, "true"]]


def test_names_say_whether_there_may_be_a_table() -> None:
    assert [may_be(name) for name in ("a/b.csv", "latest.json", "package.json", ".x.json", "app.py")] == [
        True,
        True,
        False,
        False,
        False,
    ]


def _told(timeline: Timeline, *events: tuple[str, str | None, dict[str, Any]]) -> None:
    for seq, (kind, team, payload) in enumerate(events, start=1):
        timeline.apply(Event("run-a", seq, datetime.now(UTC), kind, team, payload, "", ""))


def test_the_end_of_a_run_offers_the_data_that_it_made() -> None:
    timeline = Timeline("run-a", "thread")
    _told(
        timeline,
        ("run.created", None, {"requirement": "x", "project": "p", "pipeline": "full"}),
        ("stage.merged", "team", {"commit": "a" * 40, "files": ["src/app.py", "bench/results.csv"]}),
        ("release.done", None, {"tag": "v1", "commit": "b" * 40, "repository": "r"}),
        ("run.status", None, {"from": "deployable", "to": "completed"}),
    )
    assert not [piece for _, piece in timeline.show() if piece.get("name") == "Data"]
    timeline.apply(Event("run-a", 5, datetime.now(UTC), "run.ended", None, {"status": "completed"}, "", ""))
    shown = {piece["id"]: piece for _, piece in timeline.show()}
    data = next(piece for piece in shown.values() if piece["name"] == "Data")
    assert data["props"]["files"] == [{"path": "bench/results.csv", "commit": "b" * 40}]
    assert shown[data["forId"]]["output"].startswith("### ✓ Finished")


async def test_the_page_gets_a_table_or_the_reason_why_not(open_chat: OpenChat) -> None:
    files = {"data/results.csv": "name,ms\nold,12.5\n", "app/notes.json": "no JSON"}
    async with open_chat() as chat, chat.tab() as tab:
        file = (await tab.upload("app.zip", zipped(**files), "application/zip")).json()["id"]
        await tab.say("Add a page about ferns", files=[file], pipeline="one")
        run = (await tab.until(lambda tab: tab.open_cards()))[0]["run_id"]
        repository = await chat.factory.services.repository(run)
        commit = await repository.main()
        found = await tab.http.get(f"/chat/tables/{run}/{commit}/data/results.csv")
        assert (found.status_code, found.json()["rows"]) == (200, [["old", 12.5]])
        refused = await tab.http.get(f"/chat/tables/{run}/{commit}/app/notes.json")
        assert refused.status_code == 422
        assert "cannot be read" in refused.json()["detail"]
        for path in ("data/nothing.csv", "../data/results.csv", ""):
            assert (await tab.http.get(f"/chat/tables/{run}/{commit}/{path}")).status_code == 404
        async with chat.signed_in("hugo") as hugo:
            assert (await hugo.get(f"/chat/tables/{run}/{commit}/data/results.csv")).status_code == 403
