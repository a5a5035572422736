"""A person in the loop, on real runs of the small pack."""

import asyncio
import subprocess
from collections.abc import Sequence
from typing import Any

import pytest
from langgraph.types import Command

from governance.approvals import AlreadyDecided, Approval
from graph.runner import Factory
from tests.graph.conftest import OpenSmall
from tests.graph.writing import Writer, run
from tests.packs.brain import Chat, result


def of_kind(waiting: Sequence[Approval], kind: str) -> Approval:
    return next(approval for approval in waiting if approval.kind == kind)


async def verdicts(factory: Factory, run_id: str) -> dict[str, str | None]:
    return {stage.team: stage.verdict for stage in (await factory.summary(run_id)).stages}


@pytest.mark.parametrize(
    "order",
    [
        ("clarification", "escalation"),
        pytest.param(("escalation", "clarification"), marks=pytest.mark.slow),
    ],
)
async def test_two_open_questions_are_answered_one_by_one_in_either_order(
    open_small: OpenSmall, order: tuple[str, str]
) -> None:
    async with open_small() as one, open_small() as two:
        run_id = await one.submit("Small pages")
        waiting = (await one.drive(run_id)).waiting
        assert {approval.kind for approval in waiting} == {"clarification", "escalation"}

        first = of_kind(waiting, order[0])
        await one.answer(first.id, "respond", "this one first", by="the first")
        outcome = await one.drive(run_id)
        assert [approval.kind for approval in outcome.waiting] == [order[1]]

        second = of_kind(waiting, order[1])
        await two.answer(second.id, "respond", "that one second", by="the second")
        outcome = await two.drive(run_id)
        assert [approval.kind for approval in outcome.waiting] == ["review"]
        decided = [
            e.payload["approval_id"] for e in await one.events.read(run_id, kinds=["approval.decided"])
        ]
        assert decided == [first.id, second.id]


async def test_both_answers_at_once_from_two_factories_are_each_decided_once(open_small: OpenSmall) -> None:
    async with open_small() as one, open_small() as two:
        run_id = await one.submit("Small pages")
        waiting = (await one.drive(run_id)).waiting

        async def answer(factory: Factory, kind: str) -> None:
            await factory.answer(of_kind(waiting, kind).id, "respond", "go on", by=kind)
            await factory.drive(run_id)

        await asyncio.gather(answer(one, "clarification"), answer(two, "escalation"))
        assert (await verdicts(one, run_id))["closer"] == "pass"
        merged = [event.team for event in await one.events.read(run_id, kinds=["stage.merged"])]
        assert sorted(str(team) for team in merged) == ["closer", "maker", "painter", "scout"]


async def test_the_second_of_two_answers_to_one_question_is_told_who_was_first(open_small: OpenSmall) -> None:
    async with open_small() as one, open_small() as two:
        run_id = await one.submit("Small pages")
        asked = of_kind((await one.drive(run_id)).waiting, "escalation")
        answers = await asyncio.gather(
            one.answer(asked.id, "respond", "blue", by="Ada"),
            two.answer(asked.id, "respond", "red", by="Grace"),
            return_exceptions=True,
        )
        refused = [answer for answer in answers if isinstance(answer, AlreadyDecided)]
        assert len(refused) == 1
        kept = await one.approvals.get(asked.id)
        assert str(kept.decided_by) in str(refused[0])
        assert len(await one.events.read(run_id, kinds=["approval.decided"])) == 1


async def test_a_rejected_escalation_fails_the_run_and_merges_nothing_of_that_stage(
    open_small: OpenSmall,
) -> None:
    async with open_small() as factory:
        run_id = await factory.submit("Small pages")
        for approval in (await factory.drive(run_id)).waiting:
            decision = "reject" if approval.kind == "escalation" else "respond"
            await factory.answer(approval.id, decision, "no", by="me")
        outcome = await factory.drive(run_id)
        assert outcome.status == "failed"
        found = await verdicts(factory, run_id)
        assert (found["painter"], found["maker"], found["closer"]) == ("fail", "pass", None)
        repository = await factory.services.repository(run_id)
        files = await repository.files(await repository.run_head(run_id))
        assert "docs/painter.md" not in files
        assert "docs/maker.md" in files
        assert "stopped by me: no" in str((await factory.summary(run_id)).failure)


async def test_an_approved_escalation_accepts_the_work_as_it_is(open_small: OpenSmall) -> None:
    async with open_small() as factory:
        run_id = await factory.submit("Small pages")
        for approval in (await factory.drive(run_id)).waiting:
            decision = "approve" if approval.kind == "escalation" else "respond"
            await factory.answer(approval.id, decision, "fine", by="me")
        await factory.drive(run_id)
        assert (await verdicts(factory, run_id))["painter"] == "pass"


async def test_a_review_comment_sends_the_run_round_again_and_reaches_every_brief(
    open_small: OpenSmall,
) -> None:
    async with open_small({"painter/report": lambda _: result(), "maker/work": _maker}) as factory:
        run_id = await factory.submit("Small pages")
        review = of_kind((await factory.drive(run_id)).waiting, "review")
        await factory.answer(review.id, "respond", "Make it louder", by="me")
        outcome = await factory.drive(run_id)
        assert [approval.kind for approval in outcome.waiting] == ["review"]
        again = outcome.waiting[0]
        assert "respond" not in again.allowed, "max_rounds = 2 leaves no third round"
        texts = await factory.events.texts(run_id)
        briefs = [str(text.value) for text in texts.values() if text.name == "brief"]
        assert sum("> Make it louder" in brief for brief in briefs) == 4
        await factory.answer(again.id, "approve", None, by="me")
        assert (await factory.drive(run_id)).status == "completed"
        repository = await factory.services.repository(run_id)
        assert "Round 2" in str(await repository.read("refs/heads/main", "docs/scout.md"))


async def test_a_rejected_review_ends_the_run_and_leaves_main_alone(open_small: OpenSmall) -> None:
    async with open_small() as factory:
        run_id = await factory.submit("Small pages", pipeline="one")
        repository = await factory.services.repository(run_id)
        before = await repository.tree("refs/heads/main")
        review = of_kind((await factory.drive(run_id)).waiting, "review")
        await factory.answer(review.id, "reject", "not this", by="me")
        assert (await factory.drive(run_id)).status == "rejected"
        assert await repository.tree("refs/heads/main") == before


async def test_approve_all_decides_what_a_flag_may_and_leaves_an_escalation_to_a_person(
    open_small: OpenSmall,
) -> None:
    async with open_small() as factory:
        run_id = await factory.submit("Small pages", approve_all=True)
        outcome = await factory.drive(run_id)
        assert [approval.kind for approval in outcome.waiting] == ["escalation"]
        await factory.answer(outcome.waiting[0].id, "respond", "blue", by="me")
        assert (await factory.drive(run_id)).status == "completed"


async def test_a_high_risk_asks_before_anything_runs_and_a_refusal_is_final(open_small: OpenSmall) -> None:
    async with open_small() as factory:
        requirement = "Transfer money between the bank accounts of customers and charge credit cards"
        run_id = await factory.submit(requirement)
        outcome = await factory.drive(run_id)
        assert outcome.status == "awaiting_approval"
        assert not await factory.events.read(run_id, kinds=["model.called", "stage.started"])
        await factory.answer(outcome.waiting[0].id, "reject", "too much", by="me")
        assert (await factory.drive(run_id)).status == "rejected"
        assert (await factory.drive(run_id)).status == "rejected"


async def test_a_run_that_is_driven_twice_at_once_is_executed_once(open_small: OpenSmall) -> None:
    async with open_small() as one, open_small() as two:
        run_id = await one.submit("Small pages", pipeline="one")
        outcomes = await asyncio.gather(one.drive(run_id), two.drive(run_id))
        assert [outcome.status for outcome in outcomes] == ["awaiting_input", "awaiting_input"]
        assert len(await one.events.read(run_id, kinds=["stage.started"])) == 1


def _maker(chat: Chat) -> str:
    return (
        "```write docs/maker.md\n# Maker\n```\n\n```write docs/extra.md\n# Extra\n```\n"
        if chat.turn == 0
        else "Done."
    )


async def test_a_langgraph_client_that_resumes_directly_decides_too_and_a_wrong_answer_asks_again(
    open_small: OpenSmall,
) -> None:
    async with open_small() as factory:
        run_id = await factory.submit("Small pages", pipeline="one")
        await factory.drive(run_id)
        graph = await factory.graph(await factory.services.run(run_id))
        config: Any = {"configurable": {"thread_id": run_id}}
        asked = (await graph.aget_state(config)).interrupts[0]
        await graph.ainvoke(Command(resume={asked.id: [{"type": "edit", "args": "?"}]}), config)
        again = (await graph.aget_state(config)).interrupts[0]
        assert again.value["approval_id"] == asked.value["approval_id"]
        await graph.ainvoke(Command(resume={again.id: [{"type": "accept", "args": None}]}), config)
        assert (await factory.drive(run_id)).status == "completed"
        assert (await factory.approvals.get(asked.value["approval_id"])).decided_by == "a LangGraph client"


async def test_what_a_review_says_can_be_done_by_hand_does_it(open_small: OpenSmall) -> None:
    """Its line of git is copied as it stands, and the place is named once."""
    async with open_small(Writer().rules(), pack="tiny") as factory:
        run_id = await run(factory, approve_all=False)
        [review] = await factory.approvals.pending(run_id)
        [command] = [line for line in review.question.splitlines() if line.startswith("  git ")]
        done = await asyncio.to_thread(
            subprocess.run, ["sh", "-ec", command], capture_output=True, text=True, check=True
        )
        assert "+++ b/docs/" in done.stdout
        repository = await factory.services.repository(run_id)
        assert review.question.count(str(repository.path)) == 1
