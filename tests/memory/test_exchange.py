"""Chains leave as a file and come in from one, whole or not at all; what came in is read-only."""

import asyncio
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from cli.main import call
from core.audit import verify
from core.database import Database
from core.events import EventLog
from core.settings import Settings
from tests.intruder import Admin, restrain

FILE = "runs.jsonl"


@pytest.fixture(autouse=True)
def _here(settings: Settings, database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FACTORY_DATABASE_URL", database_url)
    monkeypatch.setenv("FACTORY_HOME", str(settings.home))
    monkeypatch.chdir(tmp_path)
    for run in ("run-a", "run-b"):
        tell(settings, run, 3)
    assert call(["audit", "export", "--all", FILE]) == 0


def tell(settings: Settings, run: str, events: int, said: str = "") -> None:
    async def told() -> None:
        async with Database.open(settings) as database:
            log = EventLog(database)
            for n in range(1, events + 1):
                texts = {"brief": f"{run} 🌱 \x00 {n}", "result": {"n": [n]}} if n == 2 else None
                await log.append(
                    run, "step.done", {"n": n, "said": said}, team="qa", key=f"k/{n}", texts=texts
                )

    asyncio.run(told())


@pytest.fixture
def empty(intruder: Admin) -> Callable[[], None]:
    """Another factory: the same database, with nothing in it."""

    def emptied() -> None:
        intruder.execute("TRUNCATE events, event_texts, run_heads")
        restrain(intruder)

    return emptied


def counted(intruder: Admin) -> tuple[object, ...]:
    row = intruder.execute(
        "SELECT (SELECT count(*) FROM events), (SELECT count(*) FROM event_texts),"
        " (SELECT count(*) FROM run_heads)"
    ).fetchone()
    assert row is not None
    return row


def test_what_is_exported_comes_in_elsewhere_with_the_same_hashes(
    settings: Settings, intruder: Admin, empty: Callable[[], None], capsys: pytest.CaptureFixture[str]
) -> None:
    heads = intruder.execute("SELECT run_id, seq, hash FROM run_heads ORDER BY run_id").fetchall()
    assert call(["audit", "checkpoint", "kept.json"]) == 0
    empty()
    assert call(["audit", "import", FILE]) == 0
    assert "6 events and 4 texts of 2 runs" in capsys.readouterr().out
    assert intruder.execute("SELECT run_id, seq, hash FROM run_heads ORDER BY run_id").fetchall() == heads
    assert call(["audit", "verify", "--against", "kept.json"]) == 0
    capsys.readouterr()
    assert call(["audit", "imported", "--json"]) == 0
    assert [run["run_id"] for run in json.loads(capsys.readouterr().out)["runs"]] == ["run-a", "run-b"]
    assert call(["audit", "search", "run-a 🌱", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["hits"][0]["imported"] is True
    Path("again.jsonl").unlink(missing_ok=True)
    assert call(["audit", "export", "--all", "again.jsonl"]) == 0
    assert Path("again.jsonl").read_text().splitlines()[1:] == Path(FILE).read_text().splitlines()[1:]


def test_a_second_import_changes_nothing(intruder: Admin, empty: Callable[[], None], capsys: Any) -> None:
    assert call(["audit", "import", FILE]) == 0, "into the factory that it came from"
    empty()
    assert call(["audit", "import", FILE]) == 0
    before = counted(intruder)
    capsys.readouterr()
    assert call(["audit", "import", FILE, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["runs"], told["known"], told["events"]) == ([], ["run-a", "run-b"], 0)
    assert counted(intruder) == before


def test_an_imported_run_is_read_only_and_its_mark_stays(
    settings: Settings, intruder: Admin, empty: Callable[[], None], service_url: str
) -> None:
    empty()
    assert call(["audit", "import", FILE]) == 0
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="imported and is read-only"):
        tell(settings, "run-a", 9)
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="is settled"):
        intruder.execute("UPDATE run_heads SET imported_at = NULL, seq = seq + 1")
    with psycopg.connect(service_url, autocommit=True) as service:
        for statement in (
            "UPDATE factory.run_heads SET imported_at = NULL",
            "INSERT INTO factory.events VALUES ('run-a', 4, now(), 'x', NULL, NULL, '{}', '', '')",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                service.execute(statement)  # type: ignore[arg-type]


def test_nothing_is_imported_into_a_run_of_this_factory(settings: Settings, service_url: str) -> None:
    tell(settings, "run-own", 1)
    with psycopg.connect(service_url, autocommit=True) as service:
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="of this factory"):
            service.execute(
                "SELECT factory.import_events('run-own', 'me', '{}', '{}', '{}', '{}', '{}', '{}')"
            )
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="was not imported"):
            service.execute("SELECT factory.import_texts('run-own', '{1}', '{a}', '{s}', '{b}', '{NULL}')")


def test_a_run_that_is_here_with_another_chain_is_refused_whole(
    settings: Settings, intruder: Admin, empty: Callable[[], None], capsys: pytest.CaptureFixture[str]
) -> None:
    empty()
    tell(settings, "run-b", 3, said="something else")
    before = counted(intruder)
    assert call(["audit", "import", FILE]) == 4
    said = capsys.readouterr().err
    assert "run-b is here already, with another event 1" in said
    assert "Nothing was imported" in said
    assert counted(intruder) == before, "run-a of the same file neither"


def test_a_run_of_this_factory_does_not_grow_by_a_file(
    settings: Settings, intruder: Admin, capsys: pytest.CaptureFixture[str]
) -> None:
    tell(settings, "run-a", 5)
    assert call(["audit", "export", "run-a", "longer.jsonl"]) == 0
    assert call(["audit", "import", FILE]) == 0, "a file with less is no other chain"
    intruder.execute("DELETE FROM events WHERE run_id = 'run-a' AND seq > 3")
    intruder.execute(
        "UPDATE run_heads SET seq = 3, hash = (SELECT hash FROM events WHERE run_id = 'run-a' AND seq = 3)"
        " WHERE run_id = 'run-a'"
    )
    assert call(["audit", "import", "longer.jsonl"]) == 4
    assert "a run of this factory, which has fewer events than the file" in capsys.readouterr().err


def test_an_imported_run_goes_on_where_its_source_did(
    settings: Settings, empty: Callable[[], None], capsys: pytest.CaptureFixture[str]
) -> None:
    tell(settings, "run-a", 5)
    assert call(["audit", "export", "run-a", "longer.jsonl"]) == 0
    empty()
    assert call(["audit", "import", FILE]) == 0
    capsys.readouterr()
    assert call(["audit", "import", "longer.jsonl", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["runs"], told["events"]) == (["run-a"], 2)
    assert call(["audit", "verify"]) == 0


def swap(lines: list[str], a: int, b: int) -> list[str]:
    lines[a], lines[b] = lines[b], lines[a]
    return lines


def edit(lines: list[str], line: int, before: str, after: str) -> list[str]:
    assert before in lines[line], lines[line]
    lines[line] = lines[line].replace(before, after, 1)
    return lines


# 0 header, 1 run-a, 2-4 events, 5-6 texts, 7 run-b, 8-10 events, 11-12 texts, 13 end
BREAKS: list[tuple[Callable[[list[str]], list[str]], int, str]] = [
    (lambda lines: [], 1, "the file is empty"),
    (lambda lines: lines[:9], 10, "ends before"),
    (lambda lines: lines[:-1], 14, "ends before"),
    (lambda lines: [*lines, lines[1]], 15, "follows the end"),
    (lambda lines: edit(lines, 0, "factory audit", "other"), 1, "no export"),
    (lambda lines: edit(lines, 0, '"version":1', '"version":9'), 1, "version 9"),
    (lambda lines: edit(lines, 3, '\\"n\\":2', '\\"n\\":7'), 4, "not the text that was hashed"),
    (lambda lines: edit(lines, 9, '"hash":"', '"hash":"0'), 10, "not the text that was hashed"),
    (lambda lines: swap(lines, 3, 4), 4, "not the text that was hashed"),
    (lambda lines: [*lines[:3], *lines[4:]], 4, "not the text that was hashed"),
    (lambda lines: [*lines[:5], *lines[6:]], 7, "missing"),
    (lambda lines: edit(lines, 5, "run-a", "run-x"), 6, "text brief of event 2 of run-a: it is not the text"),
    (lambda lines: edit(lines, 5, '"salt":"', '"salt":"0'), 6, "not the text that was kept"),
    (lambda lines: edit(lines, 5, '"body":"', '"body":null,"x":"'), 6, "not the text that was kept"),
    (lambda lines: edit(lines, 6, '"seq":2', '"seq":"2"'), 7, "no text of an event"),
    (lambda lines: [*lines[:6], lines[5], *lines[6:]], 7, "names this text"),
    (lambda lines: edit(lines, 1, '"events":3', '"events":2'), 8, "ends at event 3"),
    (lambda lines: edit(lines, 7, '"events":3', '"events":4'), 14, "ends at event 3"),
    (lambda lines: edit(lines, 7, "run-b", "run-a"), 8, "twice"),
    (lambda lines: edit(lines, 7, "run-b", "run-c"), 9, "column run_id"),
    (lambda lines: edit(lines, 13, "2", "3"), 14, "end of 2 runs"),
    (lambda lines: [*lines[:2], "", *lines[2:]], 3, "no JSON"),
    (lambda lines: [*lines[:2], "[" * 50_000, *lines[2:]], 3, "no JSON"),
    (lambda lines: [*lines[:2], '{"record":"[]","hash":""}', *lines[2:]], 3, "no event"),
    (lambda lines: edit(lines, 1, "run-a", "\\u001b[2J"), 2, "no id"),
]


def test_nothing_is_imported_from_a_broken_file_and_the_line_is_named(
    intruder: Admin, empty: Callable[[], None], capsys: pytest.CaptureFixture[str]
) -> None:
    empty()
    whole = Path(FILE).read_text().splitlines()
    for damage, line, why in BREAKS:
        Path(FILE).write_text("".join(f"{one}\n" for one in damage([*whole])))
        assert call(["audit", "import", FILE]) == 2, why
        said = capsys.readouterr().err
        assert f"Line {line} of the file is broken" in said, (why, said)
        assert why in said
        assert "Nothing was imported" in said
        assert counted(intruder) == (0, 0, 0)


def test_a_file_that_was_cut_inside_a_line_or_is_no_text_is_broken(
    empty: Callable[[], None], capsys: pytest.CaptureFixture[str]
) -> None:
    empty()
    whole = Path(FILE).read_bytes()
    for content, why in ((whole[:-1], "Line 14"), (whole[:500], "no end"), (b"\xff\xfe\n", "no JSON")):
        Path(FILE).write_bytes(content)
        assert call(["audit", "import", FILE]) == 2
        assert why in capsys.readouterr().err


def test_a_file_that_was_packed_or_edited_on_its_way_is_called_so(
    empty: Callable[[], None], capsys: pytest.CaptureFixture[str]
) -> None:
    empty()
    whole = Path(FILE).read_bytes()
    packed = (
        (gzip.compress(whole), "compressed by gzip", "gunzip"),
        (
            b"\xef\xbb\xbf" + whole,
            "byte order mark",
            "from its source",
        ),
    )
    for content, why, todo in packed:
        Path(FILE).write_bytes(content)
        assert call(["audit", "import", FILE]) == 2
        said = capsys.readouterr().err
        assert why in said
        assert todo in said


def test_an_export_to_standard_output_is_the_file_and_nothing_else(
    empty: Callable[[], None], capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(["audit", "export", "--all", "-"]) == 0
    captured = capsys.readouterr()
    assert "6 events and 4 texts of 2 runs" in captured.err
    assert not Path("-").exists()
    empty()
    Path("piped.jsonl").write_text(captured.out)
    assert call(["audit", "import", "piped.jsonl"]) == 0
    assert call(["audit", "export", "--all", "-", "--json"]) == 2


def test_a_broken_chain_is_not_exported(intruder: Admin, capsys: pytest.CaptureFixture[str]) -> None:
    intruder.execute("UPDATE event_texts SET body = '\"other\"' WHERE run_id = 'run-b' AND name = 'brief'")
    assert call(["audit", "export", "--all", "new.jsonl"]) == 4
    assert "run-b is broken at event 2" in capsys.readouterr().err
    assert [path.name for path in Path().iterdir() if "new" in path.name] == []
    assert call(["audit", "export", "run-a", "new.jsonl"]) == 0


def test_an_export_takes_no_files_place(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, why in (
        (["run-a", FILE], "there already"),
        (["run-a", "no/folder.jsonl"], "cannot be written"),
        (["run-a"], "RUN FILE"),
        (["--all", "run-a", "x.jsonl"], "RUN FILE"),
        (["run-z", "x.jsonl"], "No run starts"),
    ):
        assert call(["audit", "export", *arguments]) == 2
        assert why in capsys.readouterr().err
    assert call(["audit", "import", "nothing.jsonl"]) == 2
    assert "cannot be read" in capsys.readouterr().err


async def test_the_service_has_all_the_rights_that_an_import_needs(
    settings: Settings, service_url: str, intruder: Admin, monkeypatch: pytest.MonkeyPatch
) -> None:
    intruder.execute("TRUNCATE events, event_texts, run_heads")
    monkeypatch.setenv("FACTORY_DATABASE_URL", service_url)
    assert await asyncio.to_thread(call, ["audit", "import", FILE]) == 0
    async with Database.open(settings) as database:
        assert (await verify(database)).events == 6
