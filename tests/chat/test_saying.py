"""A model's text while it comes: in its stage's step, masked, and gone when its call is over."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from chat.timeline import Timeline
from core.events import Event
from core.sayings import Saying
from graph.saying import shown
from tests.chat.conftest import OpenChat, Tab
from tests.doubles.ollama_server import OllamaServer
from tests.packs.brain import RULES

SECRET = "sk-proj-canary" + "a1B2c3D4e5F6g7H8i9J0"


def _stage(tab: Tab) -> str:
    return next((str(s["output"]) for s in tab.steps.values() if s["type"] == "tool"), "")


async def test_text_streams_into_its_stage_in_every_tab_and_after_a_reload(
    open_chat: OpenChat, ollama_server: OllamaServer
) -> None:
    held, go_on = threading.Event(), threading.Event()

    def halfway() -> None:
        held.set()
        go_on.wait(60)

    words = "The ferns of the wood stand in rows, and each of them has a name that somebody gave to it. "
    rule = RULES["scout/work"]

    def said(chat: Any) -> str:
        ollama_server.halfway = halfway
        return f"{words}\n\n{rule(chat)}"

    async with open_chat({"scout/work": said}) as chat, chat.tab() as tab:
        await tab.say("A page about ferns", pipeline="one")
        await tab.until(lambda tab: "The ferns of the wood" in _stage(tab))
        assert held.is_set()
        assert "Its model writes" in _stage(tab)
        async with chat.tab(thread=tab.thread) as again:
            await again.until(lambda again: "The ferns of the wood" in _stage(again))
            go_on.set()
            for one in (tab, again):
                await one.until(lambda one: one.open_cards())
                assert "Its model writes" not in _stage(one)


def _called(seq: int, key: str, kind: str = "model.called") -> Event:
    payload: Mapping[str, Any] = {
        "alias": "a",
        "model": "m",
        "input_tokens": 1,
        "output_tokens": 1,
        "cost_usd": 0,
    }
    return Event("run-a", seq, datetime.now(UTC), kind, "team", dict(payload), "", "", key)


def test_what_comes_late_is_not_shown_any_more() -> None:
    timeline = Timeline("run-a", "thread")
    plan = {"title": "t", "stages": [], "names": {"team": "Team"}}
    timeline.apply(Event("run-a", 1, datetime.now(UTC), "plan.decided", None, plan, "", ""))
    timeline.hear(Saying("run-a", "team", "team.1/turn/1", "first"))
    assert "first" in str(timeline.show())
    timeline.apply(_called(2, "team.1/turn/1/called"))
    assert "first" not in str(timeline.show())
    timeline.hear(Saying("run-a", "team", "team.1/turn/1", "late"))
    assert "late" not in str(timeline.show())
    timeline.hear(Saying("run-a", "team", "team.1/turn/10", "~~~~~~~~~~~~\n# the next"))
    assert "\n~~~~~~~~~~~\n# the next\n" in str(timeline.show()[1][1]["output"])


def test_a_secret_is_masked_and_half_of_one_held_back() -> None:
    for cut in range(1, len(SECRET)):
        assert shown(f"The key is {SECRET[:cut]}") == "The key is"
    assert SECRET not in shown(f"The key is {SECRET} and more")
    assert shown("-----BEGIN PRIVATE KEY-----\nabcdef\nabc ").count("abc") == 0
