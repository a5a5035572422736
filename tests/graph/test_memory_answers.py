"""What people and teams answered is remembered by who asked and who answered; teams ask their memory."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from memory.records import SHARED
from tests.graph.conftest import OpenSmall
from tests.graph.writing import LIBRARY, Writer, live, memories, recalled, run, told
from tests.packs.brain import Chat, Rule, ask, result, write


async def test_what_a_person_answered_is_told_to_every_team_of_the_next_run(open_small: OpenSmall) -> None:
    writer = Writer()
    checkers: list[str] = []

    def checker(chat: Chat) -> str:
        if chat.turn == 0:
            checkers.append(chat.last)
        if "answer of person" not in chat.text and len(checkers) == 1:
            return ask("person", "Which licence do we use?")
        there = "wrote checks" in chat.text or len(checkers) > 1
        return "Done." if there else write("checks/verdict.md", "# Verdict\n\nFine.")

    async with open_small(writer.rules(checker__work=checker), pack="tiny") as factory:
        run_id = await run(factory, approve_all=False)
        [question] = await factory.approvals.pending(run_id)
        await factory.answer(question.id, "respond", "MIT, ask jan@example.com", by="jan")
        await factory.drive(run_id)
        [review] = await factory.approvals.pending(run_id)
        await factory.answer(review.id, "approve", None, by="jan")
        await factory.drive(run_id)
        await run(factory, "Publish it again with its licence")
        for brief in (writer.briefs[-1], checkers[-1]):
            lines = recalled(brief)
            assert (
                f"Asked: Which licence do we use? A person answered: MIT, ask [mail] — {run_id}, checker.1"
                in lines
            )


async def test_a_stage_that_asked_a_person_shares_what_two_teams_bear_out_too(open_small: OpenSmall) -> None:
    def checker(chat: Chat) -> str:
        if "answer of person" not in chat.text:
            return ask("person", "Which licence do we use?")
        there = "wrote checks" in chat.text
        return "Done." if there else write("checks/verdict.md", "# Verdict\n\nA loan lasts 21 days.")

    found = result(verified_facts=["A loan lasts 21 days."])
    rules = Writer().rules(checker__work=checker, checker__report=lambda _: found)
    async with open_small(rules, pack="tiny") as factory:
        run_id = await run(factory, approve_all=False)
        [question] = await factory.approvals.pending(run_id)
        await factory.answer(question.id, "respond", "MIT", by="jan")
        await factory.drive(run_id)
        shared = await live(factory, SHARED)
        assert shared == ["Asked: Which licence do we use? A person answered: MIT", "A loan lasts 21 days."]


def asking_the_writer(briefs: list[str]) -> Rule:
    """A checker that asks the writer one question in its first run."""

    def checker(chat: Chat) -> str:
        if chat.turn == 0:
            briefs.append(chat.last)
        if "answer of writer" not in chat.text and len(briefs) == 1:
            return ask("writer", "May a loan be renewed?")
        there = "wrote checks" in chat.text or len(briefs) > 1
        return "Done." if there else write("checks/verdict.md", "# Verdict\n\nFine.")

    return checker


def answering(_: Chat) -> str:
    said = "A loan is renewed once, by the member alone."
    return json.dumps(
        {"reasoning": "", "answer": said, "needs_target": "", "needs_question": "", "known": True}
    )


async def test_what_a_team_answered_another_is_told_to_both_with_its_source(open_small: OpenSmall) -> None:
    writer, checkers = Writer(), list[str]()
    rules = writer.rules(checker__work=asking_the_writer(checkers), writer__clarify=answering)
    async with open_small(rules, pack="tiny") as factory:
        first = await run(factory)
        [answered] = await told(factory, first, "clarification.answered")
        bank = await (await memories(factory)).bank(LIBRARY, "writer")
        [decided] = [m for m in await bank.list() if m.source.seq == answered.seq]
        assert (decided.kind, decided.source.hash, decided.speaker) == ("decision", answered.hash, "writer")
        [retained] = [e for e in await told(factory, first, "memory.retained") if "answers" in e.payload]
        assert decided.id in retained.payload["answers"]  # pyright: ignore[reportOperatorIssue]
        await run(factory, "Publish it again: how a loan is renewed")
        asked = "May a loan be renewed?"
        said = f"A loan is renewed once, by the member alone. — {first}, checker.1"
        assert f"(decision) checker asked: {asked} Answered: {said}" in recalled(writer.briefs[1])
        assert f"(decision) Asked writer: {asked} writer answered: {said}" in recalled(checkers[1])


async def test_what_a_team_answered_in_a_run_that_is_rejected_does_not_stand(open_small: OpenSmall) -> None:
    rules = Writer().rules(checker__work=asking_the_writer([]), writer__clarify=answering)
    async with open_small(rules, pack="tiny") as factory:
        run_id = await run(factory, approve_all=False)
        assert any("renewed once" in text for text in await live(factory))
        [question] = await factory.approvals.pending(run_id)
        await factory.answer(question.id, "reject", "no", by="jan")
        await factory.drive(run_id)
        for name in ("writer", "checker"):
            assert not [text for text in await live(factory, name) if "renewed once" in text]


async def test_a_team_asks_its_memory_and_the_recall_set_is_written_down(
    open_small: OpenSmall, tmp_path: Path
) -> None:
    packs = grants_recall(tmp_path)
    asked: list[str] = []

    def work(chat: Chat) -> str:
        if chat.turn == 0 and "again" in chat.text:
            return '```call recall_memory\n{"query": "how long is a loan?"}\n```\n'
        if chat.turn == 1 and "again" in chat.text:
            asked.append(chat.last)
        return writer.work(chat) if "again" not in chat.text else "Done."

    writer = Writer()
    async with open_small(writer.rules(writer__work=work), pack="tiny", pack_dirs=[packs]) as factory:
        first = await run(factory)
        second = await run(factory, "Publish it again")
        assert "> - [m" in asked[0]
        assert f"A loan lasts 21 days. — {first}, writer.1, docs/text.md:3" in asked[0]
        events = [e for e in await told(factory, second, "memory.recalled") if e.team == "writer"]
        assert [str(e.key).rpartition("writer.1/")[2] for e in events] == ["recalled", "recall/1.1"]
        assert (await factory.services.run(second)).status == "completed"


def grants_recall(tmp_path: Path) -> Path:
    shutil.copytree(Path(__file__).parent.parent / "packs" / "tiny", tmp_path / "packs" / "tiny")
    file = tmp_path / "packs" / "tiny" / "writer" / "team.toml"
    file.write_text(file.read_text().replace('"bash", ', '"bash", "recall_memory", '))
    return tmp_path / "packs"
