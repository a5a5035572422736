"""The limits of a stage, and what the log says of each ruling, on real runs of the small pack."""

import pytest

from core import clock
from governance.approvals import Decision
from graph.gate import Evidence, decide
from graph.runner import Factory
from graph.verdict import MOST_ESCALATIONS, offered, rebased
from tests.graph.conftest import OpenSmall
from tests.packs.brain import Chat, result, write


@pytest.mark.parametrize(
    ("number", "conflict", "allowed"),
    [
        (1, False, ("respond", "approve", "reject")),
        (MOST_ESCALATIONS, False, ("approve", "reject")),
        (1, True, ("respond", "reject")),
        (MOST_ESCALATIONS, True, ("reject",)),
    ],
)
def test_a_person_is_offered_what_can_still_help(
    number: int, conflict: bool, allowed: tuple[Decision, ...]
) -> None:
    assert offered(number, conflict=conflict) == allowed


def test_each_fresh_start_has_a_worktree_of_its_own() -> None:
    assert rebased("maker.1", 0) == ["maker.1"]
    assert rebased("maker.1", 2) == ["maker.1", "maker.1.rebased1", "maker.1.rebased2"]


def test_who_may_accept_unfinished_work_is_told_what_speaks_against_it() -> None:
    evidence = Evidence(
        None,
        exhausted="minutes: 30 of 30",
        missing=("docs/a.md",),
        outside=("setup.py",),
        unchecked=("tests",),
    )
    said = "\n".join(decide(evidence).reasons)
    assert "docs/a.md" in said
    assert "outside the team's paths: setup.py" in said
    assert "not checked: tests" in said


async def rulings(factory: Factory, run_id: str) -> list[str]:
    told = await factory.events.read(run_id, kinds=["gate.decided"])
    return [str(event.payload["verdict"]) for event in told]


async def test_two_rulings_without_a_model_call_between_them_are_both_in_the_log(
    open_small: OpenSmall,
) -> None:
    """The report asks at the last iteration; with the answer comes the end of the iterations."""

    def report(_: Chat) -> str:
        asks = {"clarification_target": "person", "clarification_question": "Which colour, else blue?"}
        return result("NEEDS_CLARIFICATION", **asks)

    def scout(chat: Chat) -> str:
        return write("docs/scout.md", f"# Scout {chat.turn}") if chat.turn < 7 else "Done."

    async with open_small({"scout/work": scout, "scout/report": report}) as factory:
        run_id = await factory.submit("Small pages", pipeline="one")
        asked = (await factory.drive(run_id)).waiting[0]
        await factory.answer(asked.id, "respond", "blue", by="me")
        stuck = (await factory.drive(run_id)).waiting[0]
        assert "iterations: 8 of 8" in stuck.question
        assert await rulings(factory, run_id) == ["clarify", "escalate"]
        await factory.answer(stuck.id, "approve", None, by="me")
        await factory.drive(run_id)
        assert await rulings(factory, run_id) == ["clarify", "escalate", "pass"], (
            "a person's word is a ruling"
        )


async def test_time_in_which_nobody_works_does_not_count_against_a_stage(open_small: OpenSmall) -> None:
    moved = clock.TestClock(start=clock.now())
    with clock.use(moved):
        async with open_small() as factory:
            run_id = await factory.submit("Small pages")
            waiting = (await factory.drive(run_id)).waiting
            moved.advance(24 * 3600)
            for approval in waiting:
                await factory.answer(approval.id, "respond", "go on", by="me")
            outcome = await factory.drive(run_id)
            assert [approval.kind for approval in outcome.waiting] == ["review"]


async def test_a_stage_that_has_worked_for_its_minutes_is_stopped(open_small: OpenSmall) -> None:
    moved = clock.TestClock(start=clock.now())

    def slow(chat: Chat) -> str:
        moved.advance(20 * 60)
        return write("docs/scout.md", f"# Scout {chat.turn}")

    with clock.use(moved):
        async with open_small({"scout/work": slow}) as factory:
            run_id = await factory.submit("Small pages", pipeline="one")
            asked = (await factory.drive(run_id)).waiting[0]
            assert asked.kind == "escalation"
            assert "minutes: 40 of 30" in asked.question
            assert asked.allowed == ("respond", "approve", "reject")
