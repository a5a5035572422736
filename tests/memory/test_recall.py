"""What is recalled: what holds or held, diverse, bounded, with its neighbours, never what was forgotten."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from core.database import Database
from memory.bank import Bank
from memory.lineage.forgetting import forget
from memory.records import Kind
from memory.service import Memories
from memory.weights import Bounds
from models.embeddings.local import LocalEmbedder
from tests.memory.conftest import AT, MakeDraft


async def found(bank: Bank, query: str, **options: object) -> list[str]:
    return [hit.memory.text for hit in (await bank.recall(query, **options)).hits]  # pyright: ignore


async def test_as_of_a_time_what_held_then_is_recalled_and_nothing_later(
    bank: Bank, draft: MakeDraft
) -> None:
    for days, lasts in ((0, 21), (10, 28), (20, 14)):
        text = f"A loan lasts {lasts} days."
        await bank.add([draft(text, subject="loan", days=days)], key=str(days))
    await bank.add([draft("Loans are kept in Postgres.", days=15)], key="other")
    for days, expected in (
        (-1, []),
        (5, ["A loan lasts 21 days."]),
        (12, ["A loan lasts 28 days."]),
        (16, ["A loan lasts 28 days.", "Loans are kept in Postgres."]),
        (30, ["A loan lasts 14 days.", "Loans are kept in Postgres."]),
    ):
        at = AT + timedelta(days=days)
        assert sorted(await found(bank, "How long does a loan last?", as_of=at)) == expected


async def test_what_was_forgotten_is_nowhere_in_the_bank(
    memories: Memories, bank: Bank, draft: MakeDraft, database: Database
) -> None:
    added = await bank.add([draft("Ada's number is 555-0199."), draft("A loan lasts 21 days.")], key="a")
    secret = added[0].id
    assert await forget(memories, [secret], why="asked to", by="Ada") == (secret,)
    assert await found(bank, "What is Ada's number 555-0199?") == ["A loan lasts 21 days."]
    assert await found(bank, "Ada", as_of=datetime.now(UTC)) == ["A loan lasts 21 days."]
    kept = await memories.get(secret)
    assert (kept.text, kept.source.run_id, kept.forgotten_at is not None) == ("", "run-1", True)
    async with database.pool.connection() as connection:
        for table in (f"memories_{bank.id}", "postings", "terms", "vectors", "additions"):
            rows = await (await connection.execute(f"SELECT t::text FROM factory.{table} t")).fetchall()  # pyright: ignore
            assert "555" not in str(rows)
        vectors = await (await connection.execute("SELECT number FROM factory.vectors")).fetchall()
        assert [row["number"] for row in vectors] == [2]


async def test_a_superseded_memory_that_is_forgotten_does_not_come_back_as_of_then(
    memories: Memories, bank: Bank, draft: MakeDraft
) -> None:
    [old] = await bank.add([draft("A loan lasts 21 days.", subject="loan")], key="a")
    await bank.add([draft("A loan lasts 28 days.", subject="loan", days=9)], key="b")
    await forget(memories, [old.id], why="asked to", by="Ada")
    assert await found(bank, "loan", as_of=AT + timedelta(days=1)) == []


async def test_a_neighbour_of_what_was_asked_for_is_recalled_with_it(bank: Bank, draft: MakeDraft) -> None:
    session = "run-1/qa_engineering"
    told = ["Which timeout does the gateway use?", "Thirty seconds.", "Fine."]
    others = [f"Number {n} of the weather reports speaks of rain." for n in range(30)]
    await bank.add([draft(text, session=session) for text in told], key="a")
    await bank.add([draft(text, session="run-1/other") for text in others], key="b")
    recall = await bank.recall("timeout of the gateway", limit=3)
    assert [hit.memory.text for hit in recall.hits[:2]] == told[:2]
    assert recall.hits[1].parts["neighbours"] > 0


async def test_a_date_in_the_query_brings_the_memories_of_that_day_first(
    bank: Bank, draft: MakeDraft
) -> None:
    for days in (0, 40, 80, 120):
        await bank.add([draft(f"Release {days} was deployed.", days=days, session=f"s{days}")], key=str(days))
    recall = await bank.recall("Which release was deployed on 10 February 2026?")
    assert recall.hits[0].memory.text == "Release 40 was deployed."
    assert recall.hits[0].parts["dates"] == 1.0
    [first, *_] = await found(bank, "release of 2026-03-22")
    assert first == "Release 80 was deployed."


async def test_who_said_it_counts_where_the_query_names_one_speaker(bank: Bank, draft: MakeDraft) -> None:
    for speaker in ("qa_engineering", "security_engineering"):
        text = f"The review of {speaker[:2]} found an open port."
        await bank.add([draft(text, speaker=speaker, session=speaker)], key=speaker)
    recall = await bank.recall("What did security engineering find in review?")
    assert recall.hits[0].memory.speaker == "security_engineering"
    assert "speaker" in recall.hits[0].parts
    assert "speaker" not in recall.hits[1].parts


async def test_what_says_nearly_the_same_gives_way_to_what_does_not(bank: Bank, draft: MakeDraft) -> None:
    same = [
        f"The nightly backup of the loans database took {n} minutes to finish without errors."
        for n in range(60)
    ]
    other = "The backup of loans goes to another city."
    await bank.add([draft(text, session=f"s{n}") for n, text in enumerate(same)], key="a")
    await bank.add([draft(other, session="other")], key="b")
    hits = await found(bank, "backup of the loans database", limit=5)
    assert hits[0] in same
    assert other in hits


async def test_of_facts_that_contradict_each_other_the_newer_comes_first(
    bank: Bank, draft: MakeDraft
) -> None:
    said = "Each loan in the public library lasts exactly {} days from its checkout."
    for number in (14, 28, 21):
        await bank.add([draft(said.format(number), session=f"s{number}")], key=str(number))
    query = "How many days does a loan of the library last?"
    assert await found(bank, query, limit=1) == [said.format(21)]
    assert sorted(await found(bank, query)) == [said.format(number) for number in (14, 21, 28)]
    assert await found(bank, "Which loan lasts 14 days?", limit=1) == [said.format(14)]


async def test_recall_is_bounded_in_tokens_and_passes_over_what_is_too_long(
    bank: Bank, draft: MakeDraft
) -> None:
    long = "loan " + "and many words about it, " * 300
    await bank.add([draft(long), draft("A loan lasts 21 days."), draft("A loan costs nothing.")], key="a")
    hits = await found(bank, "loan", tokens=20)
    assert sorted(hits) == ["A loan costs nothing.", "A loan lasts 21 days."]
    assert await found(bank, "loan", tokens=0) == []
    assert await found(bank, "loan", limit=0) == []


async def test_a_bank_of_fifty_beside_a_large_one_returns_all_it_should(
    memories: Memories, draft: MakeDraft
) -> None:
    large, small = await memories.bank("a", "large"), await memories.bank("a", "small")
    await large.add([draft(f"Loan {n} was returned late by a member.") for n in range(1500)], key="a")
    await small.add([draft(f"Loan rule {n} concerns members.") for n in range(50)], key="a")
    assert len(await found(small, "loan members", limit=50)) == 50


async def test_a_megabyte_as_a_query_is_answered(bank: Bank, draft: MakeDraft) -> None:
    await bank.add([draft("A loan lasts 21 days.")], key="a")
    assert await found(bank, "loan " + "x y z 1 2 3 " * 90_000) == ["A loan lasts 21 days."]


async def test_a_memory_that_holds_from_tomorrow_is_not_recalled_today(bank: Bank, draft: MakeDraft) -> None:
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    from dataclasses import replace

    await bank.add([replace(draft("A loan will last 7 days."), valid_from=tomorrow)], key="a")
    assert await found(bank, "loan") == []
    assert await found(bank, "loan", as_of=tomorrow + timedelta(hours=1)) == ["A loan will last 7 days."]


@pytest.mark.parametrize("kinds", [[Kind.DECISION], [Kind.DECISION, Kind.EXPERIENCE]])
async def test_a_rare_kind_is_found_among_many_of_another(
    bank: Bank, draft: MakeDraft, kinds: list[Kind]
) -> None:
    facts = [draft(f"Loan fact {n} of the database.") for n in range(400)]
    chosen = draft("The database was chosen long ago.", kind=Kind.DECISION)
    await bank.add([*facts, chosen], key="a")
    assert await found(bank, "loan database", kinds=kinds) == [chosen.text]


async def test_the_same_bank_is_recalled_alike_by_another_process(
    database: Database, bank: Bank, draft: MakeDraft
) -> None:
    await bank.add([draft(f"Loan {n} is of member {n % 7}.") for n in range(50)], key="a")
    async with Memories.open(database, LocalEmbedder()) as other:
        again = await other.bank("library", "backend_engineering")
        assert again.id == bank.id
        assert await found(again, "loan of member 3") == await found(bank, "loan of member 3")


async def test_a_large_bank_is_searched_by_its_graph_and_finds_what_an_exact_search_does(
    database: Database, draft: MakeDraft
) -> None:
    texts = [f"Loan {n} of item {n * 7919 % 1000} went to member {n * 104729 % 977}." for n in range(600)]
    async with Memories.open(database, LocalEmbedder(), bounds=Bounds(exact_below=500)) as memories:
        bank = await memories.bank("library", "large")
        await bank.add([draft(text) for text in texts], key="a")
        exact = {query: await found(bank, query) for query in texts[::40]}
        await memories.settled()
        await bank.catch_up()
        [info] = await memories.banks("library")
        assert info.spaces[0].indexed
        for query, expected in exact.items():
            assert len({*await found(bank, query)} & {*expected}) >= 8


async def test_a_small_bank_that_is_read_whole_gives_each_memory_the_scores_of_a_large_one(
    database: Database, memories: Memories, bank: Bank, draft: MakeDraft
) -> None:
    texts = [f"Loan {n} of item {n * 7919 % 100} went to member {n * 104729 % 97}." for n in range(200)]
    await bank.add([draft(text, subject=f"loan {n % 150}") for n, text in enumerate(texts)], key="a")
    await bank.add([draft("A loan of member 4 starts next year.", days=4000)], key="b")
    [*_, added] = await bank.add([draft(texts[90], session="other"), draft("Item 12 is lost.")], key="c")
    await forget(memories, [added.id], why="asked to", by="Ada")
    all_of_it = (300, 300, 300)
    small, large = Bounds(all_of_it, postings=1000), Bounds(all_of_it, postings=100)
    async with (
        Memories.open(database, LocalEmbedder(), bounds=small) as ones,
        Memories.open(database, LocalEmbedder(), bounds=large) as others,
    ):
        one, other = [await both.bank(bank.project, bank.name) for both in (ones, others)]
        for query in (texts[3], texts[180], "member 4", "an item of 12", "nothing of this", ""):
            for kinds in (None, (Kind.FACT,), (Kind.DECISION,)):
                whole, parted = await one.recall(query, kinds=kinds), await other.recall(query, kinds=kinds)
                assert whole.considered == parted.considered == (0 if kinds == (Kind.DECISION,) else 150)
                for hit, same in zip(whole.hits, parted.hits, strict=True):
                    assert hit.memory == same.memory
                    assert hit.parts == pytest.approx(same.parts, abs=0.02)  # pyright: ignore[reportUnknownMemberType]


async def test_what_another_process_added_to_a_bank_that_was_empty_is_recalled_by_its_vectors(
    database: Database, bank: Bank, draft: MakeDraft
) -> None:
    assert (await bank.recall("loan of member 3")).hits == ()
    async with Memories.open(database, LocalEmbedder()) as others:
        other = await others.bank(bank.project, bank.name)
        await other.add([draft(f"Loan {n} is of member {n % 7}.") for n in range(50)], key="a")
    recall = await bank.recall("loan of member 3")
    assert (recall.embedder, recall.degraded, len(recall.hits)) == (LocalEmbedder().name, "", 10)
