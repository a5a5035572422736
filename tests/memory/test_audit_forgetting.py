"""What is forgotten is gone from every text of the audit, and the chain says so and stays whole."""

import json

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from core.audit import verify
from core.database import Database
from core.events import EventLog
from core.json import JsonValue, canonical
from memory.audit.forgetting import TextMissing, forget_phrase, forget_text, spans, without
from memory.audit.phrases import Phrase, PhraseUnusable
from memory.audit.search import search
from tests.intruder import Admin

SAID = "Anna Jansen lives at Kerkstraat 12"
RESULT: JsonValue = {"verified_facts": ["one", f"{SAID}, and has a dog"], "status": "COMPLETE"}


@pytest.fixture
async def log(database: Database) -> EventLog:
    log = EventLog(database)
    for run in ("run-a", "run-b"):
        texts: dict[str, JsonValue] = {
            "brief": f"{run}: Anna JANSEN\n  lives at **Kerkstraat** 12.",
            "result": RESULT,
        }
        await log.append(run, "stage.snapshot", {}, team="qa", key="qa.1/snapshot", texts=texts)
        await log.append(run, "stage.ended", {"verdict": "pass"}, team="qa", key="qa.1/ended")
    return log


async def everything(admin: Admin) -> str:
    row = admin.execute(
        "SELECT concat((SELECT string_agg(t::text, '') FROM event_texts t),"
        " (SELECT string_agg(e.record, '') FROM events e))"
    ).fetchone()
    assert row is not None
    return str(row[0])


async def test_a_phrase_is_cut_out_of_every_text_and_the_rest_stays(
    log: EventLog, database: Database, intruder: Admin
) -> None:
    done = await forget_phrase(database, "anna jansen lives at kerkstraat 12", why="asked for", by="me")
    assert sorted((cut.run_id, cut.name, cut.pieces) for cut in done.cuts) == [
        ("run-a", "brief", 1), ("run-a", "result", 1), ("run-b", "brief", 1), ("run-b", "result", 1),
    ]  # fmt: skip
    assert done.kept == []
    assert "Jansen" not in await everything(intruder)
    texts = await log.texts("run-a")
    assert texts[(1, "brief")].value == "run-a: [forgotten]."
    assert texts[(1, "result")].value == {
        "verified_facts": ["one", "[forgotten], and has a dog"],
        "status": "COMPLETE",
    }
    assert {text.state for text in texts.values()} == {"cut"}
    report = await verify(database)
    assert (report.ok, report.texts) == (True, 4)
    told = (await log.read("run-a"))[-2:]
    assert [(event.kind, event.payload["why"], event.payload["by"]) for event in told] == [
        ("text.forgotten", "asked for", "me")
    ] * 2


async def test_a_second_time_there_is_nothing_to_do(log: EventLog, database: Database) -> None:
    await forget_phrase(database, SAID, why="asked for", by="me")
    before = (await verify(database)).events
    assert (await forget_phrase(database, SAID, why="asked for", by="me")).cuts == []
    assert (await verify(database)).events == before


async def test_more_can_be_forgotten_of_the_same_text_and_then_all(log: EventLog, database: Database) -> None:
    await forget_phrase(database, SAID, why="asked for", by="me")
    await forget_phrase(database, "has a dog", why="asked for", by="me")
    assert "dog" not in json.dumps((await log.texts("run-a"))[(1, "result")].value)
    await forget_text(database, "run-a", 1, "result", why="all of it", by="me")
    kept = (await log.texts("run-a"))[(1, "result")]
    assert (kept.state, kept.value) == ("forgotten", None)
    assert (await verify(database)).ok
    for seq, name in ((1, "result"), (1, "other"), (9, "brief")):
        with pytest.raises(TextMissing):
            await forget_text(database, "run-a", seq, name, why="again", by="me")


async def test_the_search_forgets_with_it(log: EventLog, database: Database, intruder: Admin) -> None:
    assert len((await search(database, Phrase("Kerkstraat"))).found) == 4
    words = "SELECT count(*) FROM audit_words WHERE words && %s"
    hashed = Phrase("Kerkstraat").words
    assert intruder.execute(words, (hashed,)).fetchone() == (2,)
    await forget_phrase(database, SAID, why="asked for", by="me")
    assert intruder.execute(words, (hashed,)).fetchone() == (0,)
    assert (await search(database, Phrase("Kerkstraat"))).found == []
    assert len((await search(database, Phrase("has a dog"))).found) == 2
    assert intruder.execute(words, (hashed,)).fetchone() == (0,)


async def test_what_somebody_said_is_cut_out_of_its_event(
    log: EventLog, database: Database, intruder: Admin
) -> None:
    await log.append("run-c", "run.created", {"requirement": f"Note that {SAID}."})
    await log.append("run-c", "review.given", {"findings": ["one", f"why is it that {SAID}?"]}, team="qa")
    found = (await search(database, Phrase(SAID), run_id="run-c")).found
    assert [(hit.seq, hit.place) for hit in found] == [(1, "requirement"), (2, "findings[1]")]
    done = await forget_phrase(database, SAID, why="asked for", by="me")
    assert (done.kept, len(done.cuts)) == ([], 6)
    assert "Jansen" not in await everything(intruder)
    created, given, *_ = await log.read("run-c")
    assert created.payload == {"requirement": "Note that [forgotten]."}
    assert given.payload == {"findings": ["one", "why is it that [forgotten]?"]}
    await forget_text(database, "run-c", 2, "said:findings", why="all of it", by="me")
    assert (await log.at("run-c", [2]))[0].payload == {"findings": ["[forgotten]"]}
    assert (await verify(database)).ok


async def test_what_stands_in_the_chain_itself_is_named(log: EventLog, database: Database) -> None:
    """As it does in chains of before what was said was kept beside them, and in what a program says."""
    await log.append("run-c", "run.interrupted", {"error": f"Note that {SAID}."})
    done = await forget_phrase(database, SAID, why="asked for", by="me")
    assert done.kept == [("run-c", 1, "error")]
    assert len(done.cuts) == 4


async def test_a_removed_text_is_not_taken_for_a_forgotten_one(
    log: EventLog, database: Database, intruder: Admin
) -> None:
    await forget_phrase(database, SAID, why="asked for", by="me")
    intruder.execute(
        "UPDATE event_texts SET salt = NULL, body = NULL WHERE run_id = 'run-a' AND name = 'brief'"
    )
    broken = (await verify(database)).broken
    assert broken is not None
    assert (broken.run_id, broken.seq, broken.text) == ("run-a", 1, "brief")


async def test_what_is_left_is_proven_too(log: EventLog, database: Database, intruder: Admin) -> None:
    await forget_phrase(database, SAID, why="asked for", by="me")
    intruder.execute("UPDATE event_texts SET body = replace(body, 'a dog', 'a cat') WHERE run_id = 'run-b'")
    broken = (await verify(database)).broken
    assert broken is not None
    assert (broken.run_id, broken.text) == ("run-b", "result")


async def test_an_imported_run_can_forget_too(log: EventLog, database: Database, intruder: Admin) -> None:
    intruder.execute("UPDATE run_heads SET imported_at = now()")
    assert len((await forget_phrase(database, SAID, why="asked for", by="me")).cuts) == 4
    assert (await verify(database)).ok


def test_a_phrase_is_cut_where_folding_changes_lengths() -> None:
    for text, phrase in (
        ("die ﬁne Straße 12", "strasse 12"),
        ("ﬀﬀﬀ office ﬁnd", "office"),
        ("İİİ name İ", "name"),
        ("2½ cups of tea\u0301", "cups"),
    ):
        body = canonical({"a": [text]})
        left = without(body, list(spans(body, Phrase(phrase))))
        assert not list(Phrase(phrase).stands_in(json.loads(left)["a"][0])), left
        assert "[forgotten]" in left


PIECES = st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "Z", "S", "C"]), max_size=10)


@hypothesis_settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(before=PIECES, said=PIECES, after=PIECES, times=st.integers(1, 3))
def test_whatever_stands_around_it_the_phrase_is_gone_and_the_rest_is_json(
    before: str, said: str, after: str, times: int
) -> None:
    try:
        phrase = Phrase(said)
    except PhraseUnusable:
        return
    value: JsonValue = {"x": [f"{before} {said} {after}"] * times, "y\n": {"z": f'"\\{said}'}}
    body = canonical(value)
    left = without(body, list(spans(body, phrase)))
    found = json.loads(left)
    if said.casefold() not in "[forgotten]":
        for text in found["x"]:
            # A mark may meet what stood around it, never what it stands for.
            assert not [one for one in phrase.stands_in(text) if "forgotten" not in one.excerpt], (text, said)
