"""What is taken back, shared and forgotten, with all that was made of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
import pytest_asyncio

from core.audit import verify
from core.database import Database
from core.errors import NotFound
from core.events import EventLog
from memory.lineage.forgetting import Forgetting, forget
from memory.lineage.promotion import Evidence, NotShareable, promote, promote_borne_out
from memory.lineage.taking_back import PERSON, end_derived, take_back, take_back_run
from memory.records import SHARED, Draft, Kind, Source
from memory.service import Bank, Memories
from models.embeddings.cache import CachedEmbedder
from models.embeddings.local import LocalEmbedder

AT = datetime(2026, 1, 1, tzinfo=UTC)
PROJECT = "library"


def draft(
    text: str,
    *,
    run: str = "run-1",
    team: str = "api_design",
    subject: str | None = None,
    kind: Kind = Kind.FACT,
    derived_from: tuple[int, ...] = (),
    days: int = 0,
) -> Draft:
    stage = f"{team}.1"
    source = Source(run, 3, "ab" * 32, stage, "docs/api/openapi.json", 7, 0, len(text))
    at = AT + timedelta(days=days)
    return Draft(text, kind, source, team, f"{run}/{stage}", at, subject, derived_from)


@pytest_asyncio.fixture
async def memories(database: Database) -> AsyncIterator[Memories]:
    async with Memories.open(database, CachedEmbedder(LocalEmbedder(), database)) as memories:
        yield memories


async def add(bank: Bank, *drafts: Draft) -> list[int]:
    return [one.id for one in await bank.add(drafts, key=uuid4().hex)]


async def live(bank: Bank) -> list[str]:
    return [memory.text for memory in await bank.list()]


async def found(bank: Bank, query: str) -> list[str]:
    return [hit.memory.text for hit in (await bank.recall(query)).hits]


async def test_a_runs_claims_are_taken_back_and_what_they_superseded_holds_again(
    memories: Memories,
) -> None:
    bank = await memories.bank(PROJECT, "api_design")
    await add(bank, draft("The port is 8000.", subject="port"))
    await add(bank, draft("The port is 9000.", run="run-2", subject="port", days=1))
    assert await live(bank) == ["The port is 9000."]
    taken = await take_back_run(memories, PROJECT, "run-2", why="run-2 failed")
    assert len(taken.ids) == len(taken.restored) == 1
    assert await live(bank) == await found(bank, "which port?") == ["The port is 8000."]
    again = await take_back_run(memories, PROJECT, "run-2", why="run-2 failed")
    assert again.ids == again.restored == ()


async def test_what_was_taken_back_in_between_is_not_brought_back(memories: Memories) -> None:
    bank = await memories.bank(PROJECT, "api_design")
    for number, run in enumerate(("run-1", "run-2", "run-3")):
        await add(bank, draft(f"The port is {number}.", run=run, subject="port", days=number))
    await take_back_run(memories, PROJECT, "run-2", why="rolled back")
    assert await live(bank) == ["The port is 2."]
    await take_back_run(memories, PROJECT, "run-3", why="rejected")
    assert await live(bank) == ["The port is 0."]


async def test_a_later_fact_stands_when_the_one_before_it_is_taken_back(memories: Memories) -> None:
    bank = await memories.bank(PROJECT, "api_design")
    await add(bank, draft("The port is 8000.", run="run-1", subject="port"))
    await add(bank, draft("The port is 9000.", run="run-2", subject="port", days=1))
    await take_back_run(memories, PROJECT, "run-1", why="rolled back")
    assert await live(bank) == ["The port is 9000."]


async def test_only_the_sessions_named_are_taken_back(memories: Memories) -> None:
    api, backend = await memories.bank(PROJECT, "api_design"), await memories.bank(PROJECT, "backend")
    await add(api, draft("One."))
    await add(backend, draft("Two.", team="backend"))
    await take_back_run(memories, PROJECT, "run-1", why="rolled back", sessions=["run-1/backend.1"])
    assert (await live(api), await live(backend)) == (["One."], [])


async def test_experience_and_what_a_person_decided_outlive_a_failed_run(memories: Memories) -> None:
    bank = await memories.bank(PROJECT, "api_design")
    await add(bank, draft("Docker could not start.", kind=Kind.EXPERIENCE), draft("A fact."))
    await add(bank, draft("The licence is MIT.", team=PERSON, kind=Kind.DECISION))
    await take_back_run(memories, PROJECT, "run-1", why="failed")
    assert sorted(await live(bank)) == ["Docker could not start.", "The licence is MIT."]


async def test_taking_one_fact_back_takes_back_all_that_was_made_of_it(memories: Memories) -> None:
    bank, shared = await memories.bank(PROJECT, "api_design"), await memories.bank(PROJECT, SHARED)
    [first] = await add(bank, draft("A loan lasts 21 days."))
    [second] = await add(shared, draft("Loans last 3 weeks.", derived_from=(first,)))
    [third] = await add(bank, draft("Reminders go out on day 20.", derived_from=(second, 999)))
    await add(bank, draft("Something else."))
    taken = await take_back(memories, [first], why="it was wrong")
    assert set(taken.ids) == {first, second, third}
    assert (await live(bank), await live(shared)) == (["Something else."], [])


async def test_a_run_id_that_begins_another_does_not_take_it_back(memories: Memories) -> None:
    bank = await memories.bank(PROJECT, "api_design")
    await add(bank, draft("Kept.", run="run-10"))
    await take_back_run(memories, PROJECT, "run-1", why="failed")
    assert await live(bank) == ["Kept."]


async def evidence(memories: Memories, team: str, *drafts: Draft) -> list[Evidence]:
    bank = await memories.bank(PROJECT, team)
    added = await bank.add(drafts, key=uuid4().hex)
    return [Evidence(one.id, each) for one, each in zip(added, drafts, strict=True)]


DECLARED = "`GET /loans`: List loans (answers 200)"
USED = "`GET /loans` is used in docs/guide.md"


@pytest.mark.parametrize("first", ["api_design", "documentation"])
async def test_an_interface_that_another_team_uses_is_shared_as_it_is_declared(
    memories: Memories, first: str
) -> None:
    told = {
        "api_design": draft(DECLARED, subject="interface:GET /loans"),
        "documentation": draft(USED, team="documentation", subject="use:GET /loans"),
    }
    for team in sorted(told, key=lambda team: team != first):
        given = await evidence(memories, team, told[team])
        promoted = await promote_borne_out(memories, PROJECT, team, given, key=f"promote/{team}")
    assert len(promoted) == 1
    shared = await memories.bank(PROJECT, SHARED)
    assert await live(shared) == [DECLARED]
    kept = await memories.get(promoted[0].id)
    assert len(kept.derived_from) == 2
    await take_back(memories, [kept.derived_from[1]], why="undone")
    assert await live(shared) == []


async def test_the_same_words_of_two_teams_are_shared(memories: Memories) -> None:
    one = await evidence(memories, "api_design", draft("Ids are never used again."))
    assert await promote_borne_out(memories, PROJECT, "api_design", one, key="a") == []
    two = await evidence(memories, "backend", draft("ids are never  used again.", team="backend"))
    assert len(await promote_borne_out(memories, PROJECT, "backend", two, key="b")) == 1
    assert await live(await memories.bank(PROJECT, SHARED)) == ["Ids are never used again."]


async def test_one_team_alone_another_project_and_mere_experience_are_no_evidence(memories: Memories) -> None:
    await evidence(memories, "api_design", draft("Ids are never used again."))
    other = await memories.bank("another", "backend")
    await add(other, draft("Rows are locked.", team="backend"))
    given = await evidence(
        memories,
        "backend",
        draft("Ids are never used again.", team="backend", kind=Kind.EXPERIENCE),
        draft("Rows are locked.", team="backend"),
    )
    assert await promote_borne_out(memories, PROJECT, "backend", given, key="a") == []


async def test_a_person_shares_a_memory_that_holds_and_no_other(memories: Memories) -> None:
    bank = await memories.bank(PROJECT, "api_design")
    [old] = await add(bank, draft("The port is 8000.", subject="port"))
    [new] = await add(bank, draft("The port is 9000.", subject="port", days=1))
    added = await promote(memories, PROJECT, new, by="jan")
    assert (await memories.get(added.id)).derived_from == (new,)
    with pytest.raises(NotShareable):
        await promote(memories, PROJECT, old, by="jan")
    with pytest.raises(NotFound):
        await promote(memories, PROJECT, new + 1000, by="jan")


async def test_a_person_shares_again_what_had_been_taken_back(memories: Memories) -> None:
    bank, shared = await memories.bank(PROJECT, "api_design"), await memories.bank(PROJECT, SHARED)
    [old] = await add(bank, draft("The port is 8000.", subject="port"))
    first = await promote(memories, PROJECT, old, by="jan")
    await take_back(memories, [first.id], why="a person shared it by mistake")
    again = await promote(memories, PROJECT, old, by="jan")
    assert (again.outcome, await live(shared)) == ("new", ["The port is 8000."])
    assert (await promote(memories, PROJECT, old, by="jan")).outcome == "duplicate"


async def test_what_was_shared_is_shared_again_when_the_run_that_changed_it_fails(memories: Memories) -> None:
    bank, shared = await memories.bank(PROJECT, "api_design"), await memories.bank(PROJECT, SHARED)
    [old] = await add(bank, draft("The port is 8000.", subject="port"))
    copy = await promote(memories, PROJECT, old, by="jan")
    [second] = await add(shared, draft("Firewalls open port 8000.", derived_from=(copy.id, old)))
    [new] = await bank.add([draft("The port is 9000.", run="run-2", subject="port", days=1)], key="2")
    await end_derived(memories, new.superseded)
    assert await live(shared) == []
    taken = await take_back_run(memories, PROJECT, "run-2", why="run-2 failed")
    assert set(taken.restored) == {old, copy.id, second}
    assert (await live(bank), await live(shared)) == (
        ["The port is 8000."], ["The port is 8000.", "Firewalls open port 8000."]
    )  # fmt: skip
    assert await found(shared, "which port do firewalls open?")
    [gone] = await add(bank, draft("The port is 7000.", run="run-3", subject="port", days=2))
    assert (await memories.get(old)).superseded_by == gone
    taken = await end_derived(memories, [old])
    assert set(taken.ids) == {copy.id, second}
    assert await live(shared) == []


async def rows(database: Database) -> str:
    async with database.pool.connection() as connection:
        kept: list[str] = []
        for table in ("memories", "vectors", "postings", "terms", "additions", "embeddings", "taken_back"):
            found = await connection.execute(f"SELECT t::text AS row FROM factory.{table} t")
            kept += [row["row"] for row in await found.fetchall()]
    return "\n".join(kept)


async def test_forgetting_hides_the_text_everywhere_and_keeps_the_chain_whole(
    memories: Memories, database: Database
) -> None:
    log = EventLog(database)
    await log.append("run-1", "run.started", {})
    bank, shared = await memories.bank(PROJECT, "api_design"), await memories.bank(PROJECT, SHARED)
    other = await memories.bank(PROJECT, "backend")
    secret = "The pilot is Hendrikje Amersfoort."
    first, _ = await add(bank, draft(secret, subject="named:hendrikje"), draft("Something else."))
    [copy] = await add(shared, draft(secret, derived_from=(first,)))
    [same] = await add(other, draft(secret.upper(), team="backend"))
    assert "Hendrikje" in await rows(database)
    seen: list[Sequence[str]] = []

    async def elsewhere(_: Memories, forgetting: Forgetting) -> None:
        seen.append(forgetting.texts)

    gone = await forget(memories, [first], why="asked to", by="jan", elsewhere=[elsewhere])
    assert set(gone) == {first, copy, same}
    assert set(seen[0]) == {secret, secret.upper()}
    assert "hendrikje" not in (await rows(database)).casefold()
    assert await found(bank, "Who is the pilot Hendrikje Amersfoort?") == ["Something else."]
    tomb = await memories.get(first)
    assert (tomb.text, tomb.subject, tomb.source.run_id) == ("", None, "run-1")
    assert tomb.forgotten_at is not None
    [event] = await log.read("run-1", kinds=["memory.forgotten"])
    assert event.payload == {"ids": sorted(gone), "why": "asked to", "by": "jan"}
    assert (await verify(database)).ok
    assert await forget(memories, [first], why="again", by="jan") == ()


async def test_forgetting_reaches_what_says_the_same_but_for_its_punctuation(memories: Memories) -> None:
    bank, other = await memories.bank(PROJECT, "api_design"), await memories.bank(PROJECT, "backend")
    [first] = await add(bank, draft("The pilot is Hendrikje Amersfoort."))
    [same] = await add(other, draft("the pilot is Hendrikje Amersfoort", team="backend"))
    [older] = await add(bank, draft("The pilot is  Hendrikje Amersfoort!", subject="pilot"))
    [newer] = await add(bank, draft("The pilot has left.", subject="pilot", days=1))
    assert set(await forget(memories, [first], why="asked to", by="jan")) == {first, same, older}
    assert [memory.id for memory in await bank.list(past=True)] == [newer]


async def test_what_another_run_makes_of_a_memory_while_it_is_forgotten_is_forgotten_too(
    memories: Memories,
) -> None:
    bank, shared = await memories.bank(PROJECT, "api_design"), await memories.bank(PROJECT, SHARED)
    [first] = await add(bank, draft("The pilot is Hendrikje Amersfoort."))
    times = 0

    async def elsewhere(memories: Memories, forgetting: Forgetting) -> None:
        nonlocal times
        times += 1
        if times == 1:
            [copy] = await add(shared, draft("The pilot is Hendrikje Amersfoort.", derived_from=(first,)))
            await add(bank, draft("Ask Hendrikje Amersfoort.", run="run-2", derived_from=(copy,)))

    gone = await forget(memories, [first], why="asked to", by="jan", elsewhere=[elsewhere])
    assert (len(gone), await live(bank), await live(shared)) == (3, [], [])
    assert times == 2


async def test_forgetting_what_is_not_there_changes_nothing(memories: Memories) -> None:
    bank = await memories.bank(PROJECT, "api_design")
    await add(bank, draft("Kept."))
    with pytest.raises(NotFound):
        await forget(memories, [12345], why="", by="jan")
    assert await live(bank) == ["Kept."]


async def test_what_was_forgotten_is_not_restored(memories: Memories) -> None:
    bank = await memories.bank(PROJECT, "api_design")
    [old] = await add(bank, draft("The port is 8000.", subject="port"))
    await add(bank, draft("The port is 9000.", run="run-2", subject="port", days=1))
    await forget(memories, [old], why="asked to", by="jan")
    taken = await take_back_run(memories, PROJECT, "run-2", why="failed")
    assert taken.restored == ()
    assert await live(bank) == []
