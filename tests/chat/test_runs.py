"""A requirement in the chat: its run is shown, decided on cards, and over once."""

from __future__ import annotations

from collections.abc import Callable

from tests.chat.conftest import OpenChat, Tab


async def test_a_requirement_becomes_a_run_that_is_decided_on_a_card_and_ends_once(
    open_chat: OpenChat,
) -> None:
    async with open_chat() as chat, chat.tab() as tab:
        await tab.say("A page about ferns", pipeline="one")
        card = (await tab.until(lambda tab: tab.open_cards()))[0]
        assert card["kind"] == "review"
        assert "+" in card["diff"]
        told = await tab.decide(card["approval_id"], "approve")
        assert told == {"ok": True, "decision": "approve", "by": "dora"}
        await tab.until(lambda tab: tab.finished())
        assert tab.finished()[0].startswith("### ✓ Finished")
        assert [card["decided"]["by"] for card in tab.cards()] == ["dora"]
        stages = {step["metadata"]["team"] for step in tab.steps.values() if step["type"] == "tool"}
        assert stages == {"scout"}
        async with chat.tab(thread=tab.thread) as again:
            await again.until(lambda again: again.finished())
            assert again.steps.keys() == tab.steps.keys()
            assert again.elements.keys() == tab.elements.keys()


async def test_a_decision_made_elsewhere_is_on_the_card_within_a_second(open_chat: OpenChat) -> None:
    async with open_chat() as chat, chat.tab() as tab:
        await tab.say("A page about ferns", pipeline="one")
        card = (await tab.until(lambda tab: tab.open_cards()))[0]
        async with chat.tab(thread=tab.thread) as second:
            await second.until(lambda second: second.open_cards())
            await chat.factory.answer(card["approval_id"], "reject", "Too long", by="somebody else")
            for one in (tab, second):
                await one.until(lambda one: not one.open_cards(), within=1)
                assert one.cards()[0]["decided"]["by"] == "somebody else"
            late = await second.decide(card["approval_id"], "approve")
        assert not late["ok"]
        assert "somebody else" in late["what"]


async def test_a_run_that_ends_while_the_tab_is_closed_is_shown_whole(open_chat: OpenChat) -> None:
    async with open_chat() as chat:
        async with chat.tab() as tab:
            await tab.say("A page about ferns", pipeline="one")
            card = (await tab.until(lambda tab: tab.open_cards()))[0]
        await chat.factory.answer(card["approval_id"], "approve", None, by="somebody else")
        await chat.driving.go_on(card["run_id"])
        async for event in chat.factory.follow(card["run_id"]):
            if event.kind == "run.ended":
                break
        async with chat.tab(thread=tab.thread) as again:
            await again.until(lambda again: again.finished())
            assert len(again.finished()) == 1
            assert again.open_cards() == []


async def test_a_socket_that_was_lost_is_told_what_it_missed(open_chat: OpenChat) -> None:
    async with open_chat() as chat, chat.tab() as tab:
        await tab.say("A page about ferns", pipeline="one")
        card = (await tab.until(lambda tab: tab.open_cards()))[0]
        await tab.disconnect()
        await chat.factory.answer(card["approval_id"], "approve", None, by="somebody else")
        await chat.driving.go_on(card["run_id"])
        async for event in chat.factory.follow(card["run_id"]):
            if event.kind == "run.ended":
                break
        await tab.connect()
        await tab.until(lambda tab: tab.finished())
        assert len(tab.finished()) == 1


async def test_commands_tell_hold_change_and_end_a_run(open_chat: OpenChat) -> None:
    async with open_chat() as chat, chat.tab() as tab:

        def told(words: str) -> Callable[[Tab], bool]:
            return lambda tab: any(words in text for text in tab.texts())

        await tab.say("A page about ferns", pipeline="one")
        card = (await tab.until(lambda tab: tab.open_cards()))[0]
        await tab.say("/costs")
        await tab.until(told("| team | calls |"))
        await tab.say("/why")
        await tab.until(told("*(event "))
        await tab.say("/pause")
        await tab.until(told("is to stand still"))
        await tab.say("/resume")
        await tab.until(told("goes on"))
        assert (await tab.decide(card["approval_id"], "approve"))["ok"]
        await tab.until(lambda tab: tab.finished())
        await tab.say("/change add a page about mosses")
        await tab.until(lambda tab: tab.open_cards())
        await tab.say("/cancel")
        await tab.until(told("is to end"))
        await tab.until(lambda tab: any("cancelled" in end for end in tab.finished()))
        assert len(tab.finished()) == 2
