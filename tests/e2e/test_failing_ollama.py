"""Ollama fails in every way it can, and a run completes or stands in good order: never done by default."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from graph.runner import Factory
from models.errors import ModelUnavailable
from tests.doubles.brains import offline_brain
from tests.doubles.failures import FAILURES, FailureName
from tests.doubles.ollama_server import MODELS, OllamaServer
from tests.e2e.conftest import (
    OpenFactory,
    assert_nothing_lost,
    escalations,
    guide,
    on_branch,
    released,
    stages,
    to_the_end,
)
from tests.packs.brain import RULES, Chat, brain, result, write
from tests.sampling import some

PAGE = "# Scout\n\nAs if nothing had happened."
REQUIREMENT = "A page about scouting"


def scout(chat: Chat) -> str:
    return write("docs/scout.md", PAGE) if "wrote docs/scout.md" not in chat.text else "Done."


CALM = brain({"scout/work": scout})


@dataclass(frozen=True)
class Forever:
    """What a failure comes to that never ends."""

    says: str = ""
    """What the escalation names as the cause; empty where the run completes all the same."""
    todo: str = ""
    """What it tells the person to do."""
    raw: str = ""
    """What of the model's words is kept."""
    limits: dict[str, Any] = field(default_factory=dict[str, Any])
    requirement: str = REQUIREMENT


LOOK = "Look at Ollama's log"
FOREVER: dict[FailureName, Forever] = {
    "http-500": Forever("llama runner process has terminated", LOOK),
    "http-503": Forever("server busy", LOOK),
    "http-404": Forever("has no model", "ollama pull"),
    "gone": Forever("has no model", "ollama pull"),
    "slow": Forever(),
    "hang": Forever("failed 2 times", LOOK, limits={"silence_seconds": 0.1}),
    "reset": Forever("failed 2 times", LOOK),
    "cut": Forever("failed 2 times", LOOK, raw="I write it."),
    "cut-clean": Forever("went in circles", "Another model may do better", raw="I write it."),
    "error-line": Forever("unexpected EOF", LOOK, raw="I write it."),
    "bad-line": Forever("failed 2 times", LOOK, raw="I write it."),
    "empty": Forever("answered nothing", "Another model may do better"),
    "length": Forever("stopped for length", "raise num_predict", raw="I write it."),
    "prose": Forever("no usable report", "", raw="I think that everything is done."),
    "half-json": Forever("no usable report", "", raw='"status": "COMPL'),
    "ignore-format": Forever(),
    "ignore-format-without-thinking": Forever(),
    "think": Forever(),
    "ignore-tools": Forever(),
    "capped": Forever("has a window of 4096 tokens", "raise its num_ctx"),
    "overflow": Forever("refused the prompt", "raise num_ctx", requirement="A page. " * 5000),
    "too-long": Forever("refused the prompt", "raise num_ctx"),
    "repeat": Forever("went on past the longest answer", "another model", raw="and so on and so on"),
}


def test_every_failure_of_the_double_is_tried() -> None:
    assert tuple(FOREVER) == FAILURES


@pytest.fixture
def ollama(ollama_server: OllamaServer) -> OllamaServer:
    ollama_server.brain = CALM
    ollama_server.delay = 0.02
    return ollama_server


def heal(ollama: OllamaServer) -> None:
    ollama.heal()
    ollama.models.update({name: list(can) for name, can in MODELS.items()})


@pytest.mark.parametrize("name", some(FAILURES, of=6))
async def test_a_failure_that_passes_is_lived_through(
    name: FailureName, ollama: OllamaServer, open_factory: OpenFactory
) -> None:
    expected = FOREVER[name]
    ollama.fail(name, times=1)  # the planner's canary or its first try
    if name != "gone":  # a second one would leave no model at all
        ollama.fail(name, times=1, after=4)
    if name == "capped":
        ollama.capped_at = 20_000  # less than was asked for, and enough
    async with open_factory(limits=expected.limits) as factory:
        run_id = await factory.submit(expected.requirement, pipeline="one")
        outcome = await to_the_end(factory, run_id)
        assert outcome.status == "completed", [a.question for a in outcome.waiting]
        assert (await released(factory, run_id))["docs/scout.md"].rstrip() == PAGE


@pytest.mark.parametrize("name", some(FAILURES, of=6))
async def test_a_failure_without_end_blocks_or_does_no_harm_and_a_person_sends_the_run_on(
    name: FailureName, ollama: OllamaServer, open_factory: OpenFactory
) -> None:
    expected = FOREVER[name]
    ollama.fail(name)
    async with open_factory(limits=expected.limits) as factory:
        run_id = await factory.submit(expected.requirement, pipeline="one")
        outcome = await to_the_end(factory, run_id)
        if expected.says:
            assert outcome.status == "awaiting_input"
            await assert_blocked(factory, run_id, outcome, expected)
            before = await factory.events.read(run_id)
            heal(ollama)
            await guide(factory, outcome)
            outcome = await to_the_end(factory, run_id)
            after = await factory.events.read(run_id)
            assert after[: len(before)] == before
        assert outcome.status == "completed", [a.question for a in outcome.waiting]
        assert (await released(factory, run_id))["docs/scout.md"].rstrip() == PAGE


async def assert_blocked(factory: Factory, run_id: str, outcome: Any, expected: Forever) -> None:
    (asked,) = escalations(outcome)
    assert asked.team == "scout"
    assert expected.says in asked.question
    assert expected.todo in asked.question
    assert "respond" in asked.allowed
    assert (await stages(factory, run_id))["scout"].verdict == "blocked"
    assert not await factory.events.read(run_id, kinds=["stage.merged", "stage.ended", "release.done"])
    assert "docs/scout.md" not in await on_branch(factory, run_id)
    rulings = await factory.events.read(run_id, kinds=["gate.decided"])
    assert [event.payload["verdict"] for event in rulings] == ["escalate"]
    reports = await factory.events.read(run_id, kinds=["report.received"])
    assert all(event.payload["status"] == "BLOCKED" for event in reports)
    failed = await factory.events.read(run_id, kinds=["report.invalid", "model.failed"])
    assert failed, "what is not in the event log did not happen"
    if expected.raw:
        assert any(expected.raw in str(event.payload["raw"]) for event in failed)
    await assert_nothing_lost(factory, run_id)


@pytest.mark.parametrize(
    "name", some(["http-500", "gone", "cut", "empty", "length", "half-json", "repeat"], of=7)
)
async def test_a_failure_that_begins_with_the_report_loses_none_of_the_work(
    name: FailureName, ollama: OllamaServer, open_factory: OpenFactory
) -> None:
    ollama.fail(name, after=4)  # canary, plan, two turns of work
    async with open_factory() as factory:
        run_id = await factory.submit(REQUIREMENT, pipeline="one")
        outcome = await to_the_end(factory, run_id)
        (asked,) = escalations(outcome)
        assert "no usable report" in asked.question
        assert (await stages(factory, run_id))["scout"].verdict == "blocked"
        assert not await factory.events.read(run_id, kinds=["stage.merged"])
        invalid = await factory.events.read(run_id, kinds=["report.invalid"])
        # Two models, three chances each; one that does not answer is not asked to repair anything.
        assert len(invalid) == (6 if name == "half-json" else 4)
        told = [event.payload["raw"] for event in invalid]
        assert any(told) is (name in {"cut", "length", "half-json", "repeat"})

        heal(ollama)
        chats = len(ollama.chats)
        await guide(factory, outcome)
        assert (await to_the_end(factory, run_id)).status == "completed"
        assert (await released(factory, run_id))["docs/scout.md"].rstrip() == PAGE
        asked_again = [str(chat["messages"]) for chat in ollama.chats[chats:]]
        assert any("wrote docs/scout.md" in text for text in asked_again), (
            "the work goes on from where it was"
        )


async def test_a_stage_without_its_model_holds_up_nobody_else(
    ollama: OllamaServer, open_factory: OpenFactory
) -> None:
    broken = [True]

    def painter(chat: Chat) -> str:
        if broken[0]:
            raise ConnectionAbortedError("the server of this one hangs up")
        return write("docs/painter.md", "# Painter") if "wrote docs/painter.md" not in chat.text else "Done."

    def maker(chat: Chat) -> str:
        pages = [page for page in ("maker", "extra") if f"wrote docs/{page}.md" not in chat.text]
        return write(f"docs/{pages[0]}.md", f"# {pages[0]}") if pages else "Done."

    ollama.brain = brain({"maker/work": maker, "painter/work": painter})
    async with open_factory() as factory:
        run_id = await factory.submit("Two pages", pipeline="two")
        outcome = await to_the_end(factory, run_id)
        found = await stages(factory, run_id)
        assert (found["maker"].verdict, found["painter"].verdict) == ("pass", "blocked")
        assert [approval.team for approval in escalations(outcome)] == ["painter"]
        broken[0] = False
        await guide(factory, outcome)
        assert (await to_the_end(factory, run_id)).status == "completed"
        assert set(await released(factory, run_id)) >= {"docs/maker.md", "docs/extra.md", "docs/painter.md"}


async def test_ollama_gone_in_mid_run_and_back_on_the_same_port(open_factory: OpenFactory) -> None:
    first = OllamaServer()

    def stops(chat: Chat) -> str:
        first.__exit__()
        raise ConnectionAbortedError("gone in the middle of the reply")

    with first:
        port = first.port
        first.brain = brain({**RULES, "closer/work": stops, "painter/report": lambda _: result()})
        async with open_factory(ollama_url=first.url) as factory:
            run_id = await factory.submit("Small pages", approve_all=True)
            outcome = await factory.drive(run_id)
            (asked,) = escalations(outcome)
            assert asked.team == "closer"
            assert LOOK in asked.question
            merged = await on_branch(factory, run_id)
            assert {"docs/scout.md", "docs/maker.md", "docs/painter.md"} <= set(merged)
            before = await factory.events.read(run_id)

            async with open_factory(ollama_url=first.url) as later:
                assert later.announcements, "a new process finds no Ollama and says what it would use"
                await later.answer(asked.id, "respond", "try again", by="a person")
                with pytest.raises(ModelUnavailable, match="was started with"):
                    await later.drive(run_id)
            kinds = [event.kind for event in await factory.events.read(run_id, after=before[-1].seq)]
            assert kinds == ["approval.decided"], "no scripted output in a run of a real model"

            with OllamaServer(brain=brain(), port=port):
                assert (await to_the_end(factory, run_id)).status == "completed"
                files = await released(factory, run_id)
                assert set(merged) < set(files)
                assert "Goodbye" in files["docs/closer.md"]


LIKE_OFFLINE = {"capabilities": ["format"], "num_ctx": 65_536, "num_predict": 30_000}
"""A model that writes its actions as blocks, and a whole service in one reply."""

PASSING: tuple[FailureName, ...] = (
    *("http-500", "http-503", "slow", "reset", "cut", "cut-clean", "error-line", "bad-line", "empty"),
    *("length", "prose", "half-json", "ignore-format-without-thinking", "think", "ignore-tools", "http-404"),
)


@pytest.mark.slow
async def test_the_software_pack_comes_through_a_bad_day(
    ollama: OllamaServer, open_factory: OpenFactory
) -> None:
    ollama.brain = offline_brain()
    for number, name in enumerate(PASSING):
        ollama.fail(name, times=1, after=2 + 2 * number)
    async with open_factory(pack="software", models=dict.fromkeys(MODELS, LIKE_OFFLINE)) as factory:
        assert factory.announcements == []
        run_id = await factory.submit("A lending library with books and members", pipeline="core")
        outcome = await to_the_end(factory, run_id)
        # Whatever of it a stage could not live through by itself, a person's word is enough for.
        for _ in range(3):
            if outcome.status != "completed":
                await guide(factory, outcome)
                outcome = await to_the_end(factory, run_id)
        assert outcome.status == "completed", [a.question for a in outcome.waiting]
        files = await released(factory, run_id)
        assert {"README.md", "docs/analysis/requirements.md"} <= set(files)
        assert not [failure for failure in ollama.failures if failure.times], "each failure came to pass"
