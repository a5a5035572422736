"""A phrase is found in whatever any stage of any run was given, said, asked, answered or wrote."""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from cli.main import call
from core.database import Database
from core.events import EventLog
from core.json import JsonValue
from core.settings import Settings
from memory.audit.phrases import Phrase, PhraseUnusable, index_words

THAI = "ระบบให้ยืมเครื่องมือแก่เพื่อนบ้าน"
BRIEF = f"""# Requirement
> Neighbours lend **tools**
> to each other; de schûûr is open 🌱
{THAI}
"""
RESULT: JsonValue = {
    "verified_facts": ["Loans last two weeks", "PostgreSQL keeps them"],
    "status": "COMPLETE",
}


@pytest.fixture(autouse=True)
def _here(settings: Settings, database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FACTORY_DATABASE_URL", database_url)
    monkeypatch.setenv("FACTORY_HOME", str(settings.home))
    monkeypatch.chdir(tmp_path)
    tell(settings, "run-01", "qa")
    tell(settings, "run-02", "backend_engineering")


def tell(settings: Settings, run: str, team: str) -> None:
    async def told() -> None:
        async with Database.open(settings) as database:
            log = EventLog(database)
            await log.append(run, "run.created", {"requirement": "A shed for everybody"})
            texts: Mapping[str, JsonValue] = {
                "brief": BRIEF,
                "result": RESULT,
                "file:src/app.py": f"def lend():\n    '''{team} wrote this'''\n",
            }
            await log.append(run, "stage.snapshot", {}, team=team, key=f"{team}.1/snapshot", texts=texts)
            answered = {
                "asker": team,
                "target": "ux",
                "question": "How long?",
                "answer": "A fortnight\x00, no more",
            }
            await log.append(run, "clarification.answered", answered, team=team, key=f"{team}.1/clarify/1")

    asyncio.run(told())


def find(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, Any]]:
    capsys.readouterr()
    assert call(["audit", "search", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)["hits"]


PHRASES = [
    ("neighbours lend tools to each other", "brief", 2),
    ("DE SCHÛÛR", "brief", 3),
    ("🌱", "brief", 3),
    ("เครื่องมือ", "brief", 4),
    (THAI, "brief", 4),
    ("ม", "brief", 4),
    ("loans last two weeks", "result.verified_facts[0]", 1),
    ("postgresql", "result.verified_facts[1]", 1),
    ("def lend", "file:src/app.py", 1),
    ("a fortnight no more", "answer", 1),
    ("How long?", "question", 1),
    ("shed for everybody", "requirement", 1),
    ("ＳＨＥＤ", "requirement", 1),  # noqa: RUF001 (full width)
]


def test_a_phrase_from_any_stage_of_any_run_is_found(capsys: pytest.CaptureFixture[str]) -> None:
    for phrase, place, line in PHRASES:
        hits = [(hit["run_id"], hit["place"], hit["line"]) for hit in find(capsys, phrase)]
        assert hits == [("run-02", place, line), ("run-01", place, line)], phrase


def test_a_hit_names_run_stage_event_place_and_what_stands_around(capsys: pytest.CaptureFixture[str]) -> None:
    hits = find(capsys, "backend_engineering wrote this")
    assert len(hits) == 1
    hit = hits[0]
    assert (hit["run_id"], hit["seq"], hit["stage"]) == ("run-02", 2, "backend_engineering.1")
    assert (hit["kind"], hit["place"], hit["line"]) == ("stage.snapshot", "file:src/app.py", 2)
    assert "def lend" in hit["excerpt"]
    assert call(["audit", "search", "wrote this"]) == 0
    shown = capsys.readouterr().out
    assert shown.index("run-02") < shown.index("run-01")
    assert "backend_engineering.1 stage.snapshot file:src/app.py:2" in shown


def test_what_briefs_repeat_of_their_run_is_shown_once_with_the_stages(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    async def told() -> None:
        async with Database.open(settings) as database:
            log = EventLog(database)
            for run in ("run-03", "run-04"):
                await log.append(run, "run.created", {"requirement": "Sheds need\nmossy roofs."})
                for team in ("ux", "qa", "api", "docs", "qa"):
                    texts = {
                        "brief": "# Requirement\n> Sheds need\n> mossy  roofs.\n",
                        "file:a.md": "Mossy roofs!",
                    }
                    key = f"{team}.1/snapshot"
                    await log.append(run, "stage.snapshot", {}, team=team, key=key, texts=texts)

    asyncio.run(told())
    hits = find(capsys, "mossy roofs", "--run", "run-03")
    assert [hit["place"] for hit in hits] == ["requirement", *["file:a.md"] * 4]
    assert hits[0]["again"] == ["ux.1", "qa.1", "api.1", "docs.1"]
    assert not any(hit["again"] for hit in hits[1:])
    assert len(find(capsys, "mossy roofs")) == 10, "each run says it for itself"
    assert call(["audit", "search", "mossy roofs", "--limit", "1"]) == 0
    captured = capsys.readouterr()
    assert "also in what was given to ux.1, qa.1, api.1 and 1 more" in captured.out


def test_what_stands_around_is_shown_as_it_was_written_whatever_letters_fold_to() -> None:
    text = "De IJ heet Ĳ, und die Straße\nHeißt ŉ Große Gasse.\nHere Anna SAYS so in the ﬁle of Öland."
    [found] = Phrase("anna says SO").stands_in(text)
    assert found.line == 3
    assert found.excerpt == " ".join(text.split())
    first, last = found.span
    assert "Anna SAYS so" in text[first:last]


def test_other_words_and_another_order_are_not_the_phrase(capsys: pytest.CaptureFixture[str]) -> None:
    for phrase in ("tools lend", "neighbour", "lend tool", "weeks last", "ostgre", "nobody said", "เครองมือ"):
        assert find(capsys, phrase) == []
    assert call(["audit", "search", "nobody said this"]) == 0
    assert "stands nowhere in the events and texts of 2 runs" in capsys.readouterr().out


def test_what_came_after_the_last_search_is_found_too(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(find(capsys, "two weeks")) == 2
    tell(settings, "run-01", "frontend_engineering")
    assert len(find(capsys, "two weeks")) == 3
    assert len(find(capsys, "two weeks", "--run", "run-02")) == 1


def test_a_search_has_bounds(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["audit", "search", "two weeks", "--limit", "1", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (len(told["hits"]), told["more"]) == (1, True)
    for arguments, why in (
        (["two", "--limit", "0"], "cannot be shown"),
        (["two", "--limit", "1001"], "cannot be shown"),
        (["?!"], "no word"),
        ([""], "no word"),
        (["word " * 300], "1,500 characters"),
        (["two", "--run", "run-09"], "No run starts"),
        (["two", "--run", "run-0"], "Several runs"),
    ):
        assert call(["audit", "search", *arguments]) == 2
        assert why in capsys.readouterr().err


def test_nothing_is_found_in_an_empty_log(intruder: Any, capsys: pytest.CaptureFixture[str]) -> None:
    intruder.execute("TRUNCATE events, run_heads, event_texts")
    assert call(["audit", "search", "anything"]) == 0
    assert "there is none yet" in capsys.readouterr().out


def test_what_is_found_does_not_control_the_terminal(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    async def hostile() -> None:
        async with Database.open(settings) as database:
            await EventLog(database).append("run-03", "x", {"said": "evil \x1b[2J\x1b]0;owned\x07 text"})

    asyncio.run(hostile())
    assert call(["audit", "search", "evil"]) == 0
    assert "\x1b" not in capsys.readouterr().out


def test_a_hostile_text_takes_no_long_time() -> None:
    phrase = Phrase("a " * 400)
    assert list(phrase.stands_in("a " * 399 + "b" + " a" * 50_000 + "!" * 50_000))
    assert not list(Phrase("a " * 400).stands_in("a " * 399 + "-" * 200_000))


WORDS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)


@hypothesis_settings(max_examples=200, deadline=None)
@given(before=WORDS, text=WORDS, after=WORDS)
def test_the_index_holds_every_word_of_a_phrase_that_stands_in_the_text(
    before: str, text: str, after: str
) -> None:
    try:
        phrase = Phrase(text)
    except PhraseUnusable:
        return
    whole = f"{before} {text} {after}"
    assert list(phrase.stands_in(whole))
    assert set(phrase.words) <= set(index_words(whole))
