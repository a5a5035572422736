"""Team, Group and Project Q&A, with the offline model."""

from __future__ import annotations

import asyncio
import re

from chat.selecting import MOST_TURNS, choose
from teams.talking import Turn, proposals, sourced
from tests.chat.conftest import Chat, OpenChat
from tests.doubles.ollama_server import OllamaServer


async def _built(chat: Chat) -> str:
    """A project that has been worked on."""
    run = await chat.factory.submit("A page about ferns", project="ferns", pipeline="one", approve_all=True)
    await chat.driving.go_on(run)
    async for event in chat.factory.follow(run):
        if event.kind == "run.ended":
            break
    return run


def _scripted(chat: Chat) -> None:
    """Let the offline model answer from now on; the small pack's own brain knows no talk."""
    chat.factory.services.models = chat.offline


async def test_a_team_answers_and_the_change_that_it_proposes_is_started_once(open_chat: OpenChat) -> None:
    async with open_chat() as chat:
        await _built(chat)
        _scripted(chat)
        async with chat.tab(profile="Team") as tab:
            modes = await tab.until(lambda tab: [told for kind, told in tab.told if kind == "set_modes"])
            assert [mode["id"] for mode in modes[0]] == ["team", "project"]
            await tab.say("Add a page about mosses and ferns", team="maker", project="ferns")
            card = (await tab.until(lambda tab: tab.proposals()))[0]
            assert card["text"] == "Add a page about mosses and ferns"
            assert any("Scripted" in text for text in tab.texts())
            for _ in range(2):
                assert await tab.act("propose", id=card["id"], text="Add a page about mosses") == {"ok": True}
            runs = await chat.factory.services.runs.of_project("ferns")
            assert [run.requirement for run in runs[1:]] == ["Add a page about mosses"]
            await tab.until(lambda tab: tab.proposals()[0]["done"])
            async with chat.tab(thread=tab.thread, profile="Team") as again:
                await again.until(lambda again: again.proposals())
                assert again.proposals()[0]["done"] == {"what": "Started", "by": "dora"}


async def test_an_auditor_asks_but_starts_nothing(open_chat: OpenChat) -> None:
    async with open_chat() as chat:
        await _built(chat)
        async with chat.tab("anna") as tab:
            await tab.say("Build me something")
            told = await tab.until(lambda tab: tab.texts())
            assert "may not submit" in told[0]
        assert len(await chat.factory.services.runs.list()) == 1


async def test_a_question_is_answered_with_sources_or_not_at_all(open_chat: OpenChat) -> None:
    async with open_chat() as chat:
        await _built(chat)
        _scripted(chat)
        async with chat.tab("anna", profile="Project Q&A") as tab:
            await tab.say("Which page about ferns was wanted?")
            told = await tab.until(lambda tab: [text for text in tab.texts() if "**Sources**" in text])
            said, _, sources = told[0].partition("**Sources**")
            cited = set(re.findall(r"\[\d+\]", said))
            assert cited
            assert cited == set(re.findall(r"^- (\[\d+\])", sources, re.MULTILINE))
            await tab.say("Zebra tariffs on Sundays?")
            await tab.until(lambda tab: any("I do not know" in text for text in tab.texts()))


async def test_a_group_ends_with_a_written_decision(open_chat: OpenChat) -> None:
    async with open_chat() as chat:
        await _built(chat)
        _scripted(chat)
        async with chat.tab(profile="Group") as tab:
            await tab.say("Should @maker or @painter write the page about ferns?", project="ferns")
            card = (await tab.until(lambda tab: tab.proposals()))[0]
            assert card["kind"] == "adr"
            assert "## Decision" in card["text"]
            speakers = [step["metadata"].get("team") for step in tab.steps.values()]
            assert [name for name in speakers if name] == ["maker", "painter"]


async def test_an_answer_that_a_server_was_killed_over_is_said_to_be_missing_once(
    open_chat: OpenChat, ollama_server: OllamaServer
) -> None:
    async with open_chat() as chat:
        await _built(chat)
        ollama_server.fail("hang")  # the model is asked, and never answers
        asked = len(ollama_server.chats)
        async with chat.tab(profile="Team") as tab:
            await tab.say("What is this?", team="maker", project="ferns")
            await tab.until(lambda tab: tab.thread)
            async with asyncio.timeout(60):
                while len(ollama_server.chats) == asked:
                    await asyncio.sleep(0.05)
    # Another server, where the first one went down in the middle of it.
    async with open_chat() as chat:
        for _ in range(2):
            async with chat.tab(thread=tab.thread, profile="Team") as again:
                told = await again.until(lambda again: again.texts())
                assert len(told) == 1
                assert "stopped before it had answered this" in told[0]


def test_a_group_hears_everybody_then_whom_the_last_one_asks_and_stops() -> None:
    group = ["a_team", "b_team", "c_team"]
    turns: list[Turn] = []
    assert choose(group, turns, 0).team == "a_team"
    turns.append(Turn("a_team", "First @c_team should say"))
    assert choose(group, turns, 0).team == "c_team"
    turns.append(Turn("c_team", "Fine. @a_team and @a_team, and @nobody"))
    assert choose(group, turns, 0).team == "a_team"
    turns.append(Turn("a_team", "Thanks @c_team"))
    assert choose(group, turns, 0).team == "c_team"
    turns.append(Turn("c_team", "@a_team again"))
    assert choose(group, turns, 0).team == "b_team"
    turns.append(Turn("b_team", "Agreed"))
    assert choose(group, turns, 0).team is None
    assert choose(group, turns[:1], 10**6).team is None
    assert choose(group, [Turn("a_team", "@b_team")] * MOST_TURNS, 0).team is None


def test_a_sentence_without_a_source_that_there_is_is_left_out() -> None:
    reply = '{"known": true, "sentences": ["It is so [1].", "I think [9].", "None named.", "Both [2][1]."]}'
    assert sourced(reply, [1, 2]) == [("It is so.", (1,)), ("Both.", (2, 1))]
    assert sourced('{"known": false, "sentences": ["It is so [1]."]}', [1]) == []


def test_a_proposal_to_a_team_that_is_not_there_stays_text() -> None:
    text = "Yes.\n\n```propose mail b_team\nTell them\n```\n\n```propose mail ghosts\nBoo\n```\n"
    said, found = proposals(text, ["a_team", "b_team"])
    assert [(one.kind, one.team, one.text) for one in found] == [("mail", "b_team", "Tell them")]
    assert "Boo" in said
