"""The broker's limits: each refusal reaches the asker, and the run still ends."""

import json
import threading
from typing import Any

import pytest

from graph.clarification import Clarify
from graph.runner import Factory
from graph.stage_context import StageContext
from tests.graph.conftest import OpenSmall
from tests.packs.brain import Chat, Rule, ask, result, write


def answer(text: str = "", *, onward: str = "", known: bool = True) -> str:
    return json.dumps(
        {
            "reasoning": "",
            "answer": text,
            "needs_target": onward,
            "needs_question": "What do you say?" if onward else "",
            "known": known,
        }
    )


def asks_once(target: str) -> Rule:
    """Asks at its first turn, then writes down what it heard."""

    def rule(chat: Chat) -> str:
        if chat.turn == 0:
            return ask(target, "Which colour?")
        return write("docs/scout.md", f"# Scout\n\n{_heard(chat)}") if chat.turn == 1 else "Done."

    return rule


def _heard(chat: Chat) -> str:
    return " ".join(chat.last.split())[-600:]


async def scouted(factory: Factory) -> str:
    """Run one team to its review, approve, and read what it wrote."""
    run_id = await factory.submit("Small pages", pipeline="two", approve_all=True)
    assert (await factory.drive(run_id)).status == "completed"
    repository = await factory.services.repository(run_id)
    return str(await repository.read("refs/heads/main", "docs/painter.md"))


def painter(rule: Rule) -> dict[str, Rule]:
    """The rules of a run in which the painters ask."""

    def work(chat: Chat) -> str:
        return rule(chat).replace("docs/scout.md", "docs/painter.md")

    both = "```write docs/maker.md\n# Maker\n```\n\n```write docs/extra.md\n# Extra\n```\n"
    return {
        "painter/work": work,
        "painter/report": lambda _: result(),
        "maker/work": lambda chat: both if chat.turn == 0 else "Done.",
    }


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("painter", "a team cannot ask itself"),
        ("nobody", "there is no team"),
        ("scout", "there is no team"),
    ],
)
async def test_a_question_to_oneself_or_to_nobody_is_refused(
    open_small: OpenSmall, target: str, said: str
) -> None:
    async with open_small(painter(asks_once(target))) as factory:
        assert said in await scouted(factory)


async def test_an_answer_of_another_team_reaches_the_asker(open_small: OpenSmall) -> None:
    rules = painter(asks_once("maker")) | {"maker/clarify": lambda _: answer("Green.")}
    async with open_small(rules) as factory:
        assert "answer of maker: Green." in await scouted(factory)


async def test_a_cycle_is_refused_and_the_asked_team_answers_without(open_small: OpenSmall) -> None:
    def maker(chat: Chat) -> str:
        if "in a circle" in chat.text:
            return answer("Green, since you already wait for me.")
        return answer(onward="painter")

    async with open_small(painter(asks_once("maker")) | {"maker/clarify": maker}) as factory:
        assert "Green, since you already wait" in await scouted(factory)
        kinds = [event.kind for event in await factory.events.read(await factory.find("last"))]
        assert "clarification.refused" in kinds


async def test_a_question_past_the_depth_limit_is_refused(open_small: OpenSmall) -> None:
    # painter → maker → closer are two hops; the third, to idler, is refused.
    def maker(chat: Chat) -> str:
        return (
            answer(f"Heard: {_last_answer(chat)}")
            if "# Answer to your question" in chat.text
            else answer(onward="closer")
        )

    def closer(chat: Chat) -> str:
        return answer("Deep enough.") if "2 hops" in chat.text else answer(onward="idler")

    rules = painter(asks_once("maker")) | {"maker/clarify": maker, "closer/clarify": closer}
    async with open_small(rules) as factory:
        run_id = await factory.submit("Small pages", approve_all=True)
        await factory.drive(run_id)
        refused = await factory.events.read(run_id, kinds=["clarification.refused"])
        assert {event.team for event in refused} == {"closer"}
        answered = await factory.events.read(run_id, kinds=["clarification.answered"])
        said = [str(event.payload["answer"]) for event in answered if event.team == "painter"]
        assert said == ["Heard: Deep enough."]


def _last_answer(chat: Chat) -> str:
    return chat.last.rpartition("answer of closer: ")[2].strip()


async def test_questions_past_the_count_are_refused(open_small: OpenSmall) -> None:
    def keeps_asking(chat: Chat) -> str:
        if chat.turn < 4:
            return ask("maker", f"Question {chat.turn}?")
        return write("docs/painter.md", f"# Painter\n\n{_heard(chat)}") if chat.turn == 4 else "Done."

    async with open_small(painter(keeps_asking)) as factory:
        assert "3 questions were put, the most for one objective" in await scouted(factory)


async def test_no_answer_in_time_goes_to_a_person_whose_answer_reaches_the_asker(
    open_small: OpenSmall,
) -> None:
    never = threading.Event()

    def maker(_: Chat) -> str:
        never.wait(30)
        return answer("Too late.")

    rules = painter(asks_once("maker")) | {"maker/clarify": maker}
    async with open_small(rules) as factory:
        team = factory.registry.team("painter")
        hasty = team.model_copy(update={"limits": team.limits.model_copy(update={"answer_seconds": 1})})
        factory.registry._teams["painter"] = hasty  # pyright: ignore[reportPrivateUsage]
        run_id = await factory.submit("Small pages", pipeline="two")
        waiting = (await factory.drive(run_id)).waiting
        never.set()
        assert [(approval.kind, approval.team) for approval in waiting] == [("clarification", "painter")]
        assert "no answer within 1 s" in str(waiting[0].detail["why"])
        await factory.answer(waiting[0].id, "respond", "Violet", by="me")
        waiting = (await factory.drive(run_id)).waiting
        assert [approval.kind for approval in waiting] == ["review"]
        await factory.answer(waiting[0].id, "approve", None, by="me")
        assert (await factory.drive(run_id)).status == "completed"
        repository = await factory.services.repository(run_id)
        assert "answer of person (me): Violet" in str(
            await repository.read("refs/heads/main", "docs/painter.md")
        )


async def test_a_report_that_needs_clarification_gets_its_answer_and_is_asked_for_again(
    open_small: OpenSmall,
) -> None:
    def report(chat: Chat) -> str:
        if "answer of maker" in chat.text:
            return result()
        return result(
            "NEEDS_CLARIFICATION", clarification_target="maker", clarification_question="Which colour?"
        )

    async with open_small(
        {**painter(asks_once("maker")), "painter/work": _writes, "painter/report": report}
    ) as factory:
        run_id = await factory.submit("Small pages", pipeline="two", approve_all=True)
        assert (await factory.drive(run_id)).status == "completed"
        verdicts = [
            event.payload["verdict"]
            for event in await factory.events.read(run_id, kinds=["gate.decided"])
            if event.team == "painter"
        ]
        assert verdicts == ["clarify", "pass"]


def _writes(chat: Chat) -> str:
    return write("docs/painter.md", "# Painter") if chat.turn == 0 else "Done."


async def test_a_question_that_was_answered_before_a_crash_is_not_asked_again_and_keeps_no_secret(
    open_small: OpenSmall,
) -> None:
    answers = iter(["Green.", "Red."])
    rules: dict[str, Rule] = {"maker/clarify": lambda _: answer(next(answers))}
    async with open_small(rules) as factory:
        run_id = await factory.submit("Small pages", pipeline="two")
        await (await factory.services.repository(run_id)).begin_run(run_id)
        team = factory.registry.team("painter")
        asks = {"call_id": "1", "target": "maker", "question": "May sk-abcdefghij0123456789 be used?"}
        state: Any = {
            "run_id": run_id,
            "round": 1,
            "calls": 1,
            "clarifications": 0,
            "requirement": "Small pages",
            "pending": [asks],
        }
        node = Clarify(StageContext(factory.services, team, ("maker", "painter")))
        said = [(await node.clarify(state))["messages"][0].content for _ in range(2)]
        assert said == ["answer of maker: Green."] * 2
        async with factory.db.pool.connection() as conn:
            row = await (await conn.execute("SELECT question, status FROM clarifications")).fetchone()
        assert row == {"question": "May [redacted] be used?", "status": "answered"}
