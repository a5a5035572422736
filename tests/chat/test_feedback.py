"""Thumbs: a row, an event in the log, and a score for Langfuse, where it is told anything."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from tests.chat.conftest import Chat, OpenChat, Tab
from tests.doubles.langfuse_server import LangfuseServer
from tests.graph.test_traces import keep_private

SECRET = "sk-proj-canary" + "a1B2c3D4e5F6g7H8i9J0"


@pytest.fixture
def langfuse(monkeypatch: pytest.MonkeyPatch) -> Iterator[LangfuseServer]:
    """A Langfuse that this process has the keys of."""
    with LangfuseServer() as server:
        monkeypatch.setenv("LANGFUSE_PUBLIC_KEY", f"pk-lf-{uuid4()}")
        monkeypatch.setenv("LANGFUSE_SECRET_KEY", f"sk-lf-{uuid4()}")
        monkeypatch.setenv("LANGFUSE_HOST", server.url)
        yield server


async def _finished(chat: Chat, tab: Tab) -> tuple[str, dict[str, Any]]:
    """A run that is over, and the message that says so."""
    await tab.say("A page about ferns", pipeline="one")
    card = (await tab.until(lambda tab: tab.open_cards()))[0]
    await tab.decide(card["approval_id"], "approve")
    await tab.until(lambda tab: tab.finished())
    return card["run_id"], next(
        step for step in tab.steps.values() if str(step.get("output", "")).startswith("### ")
    )


async def _thumb(tab: Tab, step: dict[str, Any], value: int, comment: str | None = None) -> str:
    """Press a thumb below a message, as the page does; the id of what was given."""
    thought = {"forId": step["parentId"], "value": value, "threadId": tab.thread, "comment": comment}
    given = await tab.http.put("/chat/feedback", json={"feedback": thought, "sessionId": tab.session})
    assert given.status_code == 200, given.text
    return given.json()["feedbackId"]


async def _take_back(tab: Tab, feedback: str) -> None:
    done = await tab.http.request("DELETE", "/chat/feedback", json={"feedbackId": feedback})
    assert done.status_code == 200, done.text


async def test_thumbs_become_events_of_the_run_and_one_score_for_each_person(
    open_chat: OpenChat, langfuse: LangfuseServer
) -> None:
    async with open_chat() as chat, chat.tab() as tab:
        run, end = await _finished(chat, tab)
        await _thumb(tab, end, 0)
        feedback = await _thumb(tab, end, 1, f"Nice, but who wrote {SECRET}?")
        events = await chat.factory.events.read(run, kinds=["feedback.given"])
        assert [(e.kind, e.payload["by"], e.payload.get("helpful")) for e in events] == [
            ("feedback.given", "dora", False),
            ("feedback.given", "dora", True),
        ]
        assert SECRET not in str(events)
        async with chat.tab(thread=tab.thread) as again:
            shown = await again.until(
                lambda again: [step["feedback"] for step in again.steps.values() if step.get("feedback")]
            )
            assert [(one["value"], one["comment"]) for one in shown] == [
                (1, "Nice, but who wrote [redacted]?")
            ]
        await _take_back(tab, feedback)
        await _take_back(tab, feedback)  # the second time there is nothing to take back
        events = await chat.factory.events.read(run, kinds=["feedback.taken_back"])
        assert [event.payload["by"] for event in events] == ["dora"]
    told = [score for score in langfuse.scores if score["name"] == "feedback"]
    assert [score["value"] for score in told] == ["not helpful", "helpful", "taken back"]
    assert {score["sessionId"] for score in told} == {run}
    assert len({score["id"] for score in told}) == 1  # each takes the place of the one before
    assert told[1]["comment"] == "Nice, but who wrote [redacted]?"
    assert {score["metadata"]["by"] for score in told} == {"dora"}


async def test_a_thumb_below_what_a_team_said_is_of_its_talk_and_secret_where_the_project_is(
    open_chat: OpenChat, langfuse: LangfuseServer
) -> None:
    async with open_chat() as chat:
        async with chat.tab() as tab:
            run, _ = await _finished(chat, tab)
        project = (await chat.factory.services.run(run)).project
        chat.factory.services.models = chat.offline
        told = 0
        for private in (False, True):
            if private:
                keep_private(chat.factory, project)
            async with chat.tab(profile="Team") as tab:
                await tab.say("What is this?", team="maker", project=project)
                said = (
                    await tab.until(
                        lambda tab: [s for s in tab.steps.values() if s.get("metadata", {}).get("team")]
                    )
                )[0]
                await _thumb(tab, said, 1)
                chain = f"chat_{tab.thread}"
                (event,) = await chat.factory.events.read(chain, kinds=["feedback.given"])
                assert (event.team, event.payload["about"]) == ("maker", said["id"])
                told += not private
    talked = [score for score in langfuse.scores if score["name"] == "feedback"]
    assert [(score["value"], score["metadata"]["team"]) for score in talked] == [("helpful", "maker")] * told
    assert all(score["sessionId"].startswith("chat_") for score in talked)
