"""A bank keeps what is new once, supersedes what is contradicted, and says where each memory is from."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from secrets import token_hex

import psycopg
import pytest

from core.database import Database
from core.errors import NotFound
from memory.bank import Bank
from memory.errors import MemoryRefused
from memory.records import SHARED, Kind
from memory.service import Memories
from models.embeddings.local import LocalEmbedder
from tests.intruder import Admin
from tests.memory.conftest import MakeDraft

AT = datetime(2026, 1, 1, tzinfo=UTC)


async def found(bank: Bank, query: str, limit: int = 10) -> list[str]:
    return [hit.memory.text for hit in (await bank.recall(query, limit=limit)).hits]


async def test_what_was_added_is_recalled_with_its_source_and_the_score_of_each_part(
    bank: Bank, draft: MakeDraft
) -> None:
    await bank.add([draft("A loan lasts 21 days."), draft("The service listens on port 8080.")], key="a")
    recall = await bank.recall("How long does a loan last?")
    best = recall.hits[0]
    assert best.memory.text == "A loan lasts 21 days."
    assert best.memory.source == draft("A loan lasts 21 days.").source
    assert best.parts["bm25"] > 0 < best.parts["vector"]
    assert best.score == pytest.approx(sum(best.parts.values()))
    assert recall.embedder == "local/hash-512-v1"


async def test_the_same_addition_made_twice_answers_the_same_and_adds_nothing(
    bank: Bank, draft: MakeDraft
) -> None:
    drafts = [draft("A loan lasts 21 days."), draft("A loan lasts 21 days.")]
    first = await bank.add(drafts, key="retain/1")
    assert [one.outcome for one in first] == ["new", "duplicate"]
    assert await bank.add(drafts, key="retain/1") == first
    assert len(await bank.list()) == 1


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ("a loan lasts  21 DAYS.", "duplicate"),
        ("\uff21 loan lasts 21 days.", "duplicate"),
        ("The loan lasts 21 days!", "near_duplicate"),
        ("Loans last 21 days", "near_duplicate"),
        ("A loan lasts 28 days.", "new"),
        ("A loan never lasts 21 days.", "new"),
    ],
)
async def test_only_what_says_nothing_new_is_a_duplicate(
    bank: Bank, text: str, outcome: str, draft: MakeDraft
) -> None:
    [first] = await bank.add([draft("A loan lasts 21 days.")], key="a")
    [second] = await bank.add([draft(text)], key="b")
    assert second.outcome == outcome
    assert (second.id == first.id) is (outcome != "new")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("The service is written in C++.", "The service is written in C#."),
        ("The service is written in C.", "The service is written in C#."),
        ("An answer takes < 5 ms.", "An answer takes > 5 ms."),
        ("The account starts at 5.", "The account starts at -5."),
        ("A reminder costs $5.", "A reminder costs €5."),
        ("A loan takes 1.5 days.", "A loan takes 15 days."),
        ("A loan takes 1.5 days.", "A loan takes 1, 5 days."),
        ("Needs a && b.", "Needs a || b."),
        ("It runs when `ready`.", "It runs when `!ready`."),
        ("The state is x == 1.", "The state is x != 1."),
        ("The share is 5.", "The share is 5%."),
        ("It holds 10² items.", "It holds 102 items."),
    ],
)
async def test_a_sign_that_changes_the_value_makes_a_memory_of_its_own(
    bank: Bank, one: str, other: str, draft: MakeDraft
) -> None:
    first, second = await bank.add([draft(one), draft(other)], key="a")
    assert (first.outcome, second.outcome) == ("new", "new")


async def test_a_correction_by_a_sign_supersedes(bank: Bank, draft: MakeDraft) -> None:
    await bank.add([draft("The language is C++.", subject="named:language")], key="a")
    await bank.add([draft("The language is C#.", subject="named:language", days=1)], key="b")
    assert await found(bank, "language") == ["The language is C#."]


async def test_a_memory_with_the_same_subject_supersedes_and_the_old_one_is_not_recalled(
    bank: Bank, draft: MakeDraft
) -> None:
    [old] = await bank.add([draft("A loan lasts 21 days.", subject="loan")], key="a")
    [new] = await bank.add([draft("A loan lasts 28 days.", subject="loan", days=9)], key="b")
    assert new.superseded == (old.id,)
    assert await found(bank, "How long is a loan?") == ["A loan lasts 28 days."]


async def test_a_superseded_memory_is_kept_with_what_took_its_place(
    bank: Bank, memories: Memories, draft: MakeDraft
) -> None:
    [old] = await bank.add([draft("A loan lasts 21 days.", subject="loan")], key="a")
    [new] = await bank.add([draft("A loan lasts 28 days.", subject="loan", days=9)], key="b")
    kept = await memories.get(old.id)
    assert (kept.text, kept.superseded_by, kept.valid_to) == (
        "A loan lasts 21 days.",
        new.id,
        AT + timedelta(days=9),
    )


async def test_a_fact_that_holds_again_is_kept_again(bank: Bank, draft: MakeDraft) -> None:
    for number, days in enumerate((21, 28, 21)):
        text = f"A loan lasts {days} days."
        [added] = await bank.add([draft(text, subject="loan", days=number)], key=str(number))
        assert added.outcome == "new"
    assert await found(bank, "loan") == ["A loan lasts 21 days."]


async def test_contradicting_facts_of_one_addition_leave_the_last(bank: Bank, draft: MakeDraft) -> None:
    added = await bank.add([draft(f"A loan lasts {n} days.", subject="loan") for n in (1, 2, 3)], key="a")
    assert added[2].superseded == (added[1].id,)
    assert await found(bank, "loan") == ["A loan lasts 3 days."]


async def test_two_writers_at_once_keep_one_copy_of_the_same_facts(bank: Bank, draft: MakeDraft) -> None:
    facts = [draft(f"Rule {n} of the library holds.") for n in range(20)]
    both = await asyncio.gather(*(bank.add(facts, key=f"writer/{n}") for n in range(8)))
    assert len(await bank.list()) == 20
    assert sum(one.outcome == "new" for added in both for one in added) == 20
    assert {tuple(one.id for one in added) for added in both} == {tuple(one.id for one in both[0])}


async def test_a_megabyte_is_refused_and_nothing_of_its_addition_is_kept(
    bank: Bank, draft: MakeDraft
) -> None:
    with pytest.raises(MemoryRefused, match="1,048,576 characters"):
        await bank.add([draft("A loan lasts 21 days."), draft("x" * 2**20)], key="a")
    assert await bank.list() == []


@pytest.mark.parametrize("text", ["", " \n\t "])
async def test_an_empty_text_is_refused(bank: Bank, text: str, draft: MakeDraft) -> None:
    with pytest.raises(MemoryRefused, match="Memory 1 is empty"):
        await bank.add([draft(text)], key="a")


async def test_nul_and_lone_surrogates_are_kept_as_signs_that_can_be_read(
    bank: Bank, draft: MakeDraft
) -> None:
    await bank.add([draft("The NUL\0 and the \ud800 half.")], key="a")
    [kept] = await bank.list()
    assert kept.text == "The NUL\ufffd and the \ufffd half."
    assert await found(bank, "NUL\0 \udfff half") == [kept.text]


@pytest.mark.parametrize("query", ["", "   ", "???", "\0", "zzz"])
async def test_an_empty_bank_answers_any_query_with_nothing(bank: Bank, query: str) -> None:
    assert await found(bank, query) == []


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("Een uitlening duurt drie weken.", "Hoe lang duurt een uitlening?"),
        ("Mỗi lần mượn sách kéo dài 21 ngày.", "mượn sách bao lâu"),
        ("สมาชิกยืมหนังสือได้ครั้งละห้าเล่ม", "ยืมหนังสือได้กี่เล่ม"),
        ("会员每次可以借五本书", "可以借几本书"),
        ("Deploys are announced with 🚀 in the channel.", "🚀"),
    ],
)
async def test_any_script_is_found_by_its_words(bank: Bank, text: str, query: str, draft: MakeDraft) -> None:
    others = ["The service listens on port 8080.", "สวัสดีตอนเช้า", "Het regent buiten.", "Trời hôm nay đẹp 🎉"]
    await bank.add([draft(text), *(draft(other) for other in others)], key="a")
    recall = await bank.recall(query)
    assert recall.hits[0].memory.text == text
    assert recall.hits[0].parts["bm25"] > 0


async def test_directives_stand_apart_and_kinds_can_be_chosen(bank: Bank, draft: MakeDraft) -> None:
    rule = draft("Always write loans with tests.", kind=Kind.DIRECTIVE)
    await bank.add([rule, draft("Loans have tests in tests/test_loans.py.")], key="a")
    assert [one.text for one in await bank.directives()] == [rule.text]
    only = await bank.recall("loans tests", kinds=[Kind.FACT])
    assert [hit.memory.kind for hit in only.hits] == [Kind.FACT]


async def test_banks_do_not_know_of_each_other(memories: Memories, bank: Bank, draft: MakeDraft) -> None:
    await bank.add([draft("A loan lasts 21 days.")], key="a")
    for project, name in (("library", SHARED), ("shop", "backend_engineering")):
        other = await memories.bank(project, name)
        assert await found(other, "loan") == []
        assert (await other.add([draft("A loan lasts 21 days.")], key="a"))[0].outcome == "new"
    assert {(one.name, one.live) for one in await memories.banks("library")} == {(bank.name, 1), (SHARED, 1)}


async def test_a_bank_that_many_ask_for_at_once_is_made_once(database: Database) -> None:
    async def one() -> int:
        async with Memories.open(database, LocalEmbedder()) as memories:
            return (await memories.bank("shop", "qa_engineering")).id

    assert len(set(await asyncio.gather(*(one() for _ in range(6))))) == 1


async def test_a_memory_that_is_not_there_is_said_so(memories: Memories, bank: Bank) -> None:
    for wrong in (0, -5, 7, 10**18, bank.id << 32):
        with pytest.raises(NotFound):
            await memories.get(wrong)


async def test_the_service_cannot_rewrite_a_memory(database: Database, bank: Bank, draft: MakeDraft) -> None:
    await bank.add([draft("A loan lasts 21 days.")], key="a")
    async with database.pool.connection() as connection:
        for statement in (
            f"UPDATE factory.memories_{bank.id} SET text = 'A loan lasts for ever.'",
            f"UPDATE factory.memories_{bank.id} SET text = ''",
            f"DELETE FROM factory.memories_{bank.id}",
            f"DROP TABLE factory.memories_{bank.id}",
            "TRUNCATE factory.memories",
            "INSERT INTO factory.banks (project, name) VALUES ('a', 'b')",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                await connection.execute(statement)  # pyright: ignore[reportArgumentType]
    assert [one.text for one in await bank.list()] == ["A loan lasts 21 days."]


async def test_positions_follow_the_order_of_a_session(bank: Bank, draft: MakeDraft) -> None:
    await bank.add([draft("One."), draft("Two.")], key="a")
    await bank.add([replace(draft("Other."), session="run-2/qa"), draft("Three.")], key="b")
    assert [(one.text, one.position) for one in await bank.list()] == [
        ("One.", 0),
        ("Two.", 1),
        ("Other.", 0),
        ("Three.", 2),
    ]


def variant(number: int) -> str:
    """The same fact, in other letters for each number: case, space, punctuation, articles, plurals."""
    fact = (
        "A loan of a book lasts 21 days",
        "Loans of books last 21 days",
        "The loan of the book lasts 21 days",
    )
    cased = "".join(
        letter.upper() if number >> (place % 17) & 1 else letter
        for place, letter in enumerate(fact[number % 3].lower())
    )
    return cased.replace(" ", " " * (1 + number % 4)) + ("", ".", "!", " …", "?!")[number % 5]


@pytest.mark.parametrize("count", [1000, pytest.param(100_000, marks=pytest.mark.slow)])
async def test_near_duplicates_without_end_are_one_memory(bank: Bank, draft: MakeDraft, count: int) -> None:
    for start in range(0, count, 500):
        await bank.add([draft(variant(n)) for n in range(start, start + 500)], key=str(start))
    assert len(await bank.list(past=True)) == 1


@pytest.mark.parametrize("count", [600, pytest.param(100_000, marks=pytest.mark.slow)])
async def test_facts_that_differ_in_a_number_are_all_kept_and_do_not_hide_another(
    bank: Bank, draft: MakeDraft, count: int
) -> None:
    for start in range(0, count, 500):
        facts = [
            draft(f"Backup number {n} of the loans database was good.") for n in range(start, start + 500)
        ]
        await bank.add(facts[: count - start], key=str(start))
    other = draft("The loans database is backed up to another city.", session="run-1/sre_operations")
    await bank.add([other], key="other")
    assert other.text in await found(bank, "loans database backup in which city?", 5)
    [info] = [one for one in await bank._memories.banks("library") if one.id == bank.id]  # pyright: ignore
    assert info.live == count + 1


@pytest.mark.parametrize(
    "subject",
    ["interface:GET /a\0b", "interface:GET /\ud800", f"interface:GET /{token_hex(3000)}", "ห" * 5000, ""],
)
async def test_any_subject_supersedes_the_same_one(bank: Bank, subject: str, draft: MakeDraft) -> None:
    await bank.add([draft("It answers 200.", subject=subject)], key="a")
    [added] = await bank.add([draft("It answers 404.", subject=subject)], key="b")
    await bank.add([draft("It answers 500.", subject=f"{subject}/more")], key="c")
    assert len(added.superseded) == 1
    assert [memory.text for memory in await bank.list()] == ["It answers 404.", "It answers 500."]


async def test_what_is_masked_in_a_text_is_masked_in_its_subject(bank: Bank, draft: MakeDraft) -> None:
    [added] = await bank.add([draft("x", subject="measure:jan@example.com has at most # loans")], key="a")
    assert (await bank.list())[0].subject == "measure:[mail] has at most # loans"
    [other] = await bank.add([draft("y", subject="measure:jan@example.com has at most # loans")], key="b")
    assert other.superseded == (added.id,)


async def test_a_broken_memory_is_not_taken_for_one_whose_embedders_change(
    intruder: Admin, bank: Bank, draft: MakeDraft
) -> None:
    await bank.add([draft("A loan lasts 21 days.")], key="a")
    intruder.execute("ALTER TABLE factory.postings RENAME TO lost")
    for broken in (bank.add([draft("A loan lasts 28 days.")], key="b"), bank.recall("loan")):
        with pytest.raises(psycopg.errors.UndefinedTable, match="postings"):
            await broken
