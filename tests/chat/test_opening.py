"""Opening a conversation: all of it at once, then only what is new."""

from __future__ import annotations

from chat.folds import Folds
from memory.audit.forgetting import forget_phrase
from tests.chat.conftest import Chat, OpenChat, Tab


def _kinds(tab: Tab) -> list[str]:
    return [kind for kind, _ in tab.told]


async def _came(tab: Tab) -> None:
    """Until the tab was told everything; what it may pick from comes last."""
    await tab.until(lambda tab: "set_modes" in _kinds(tab))


async def _ended(chat: Chat, tab: Tab) -> str:
    await tab.say("A page about ferns", pipeline="one")
    card = (await tab.until(lambda tab: tab.open_cards()))[0]
    assert (await tab.decide(card["approval_id"], "approve"))["ok"]
    await tab.until(lambda tab: tab.finished())
    return str(card["run_id"])


async def test_a_conversation_comes_in_one_piece_and_keeps_what_it_read(open_chat: OpenChat) -> None:
    async with open_chat() as chat:
        async with chat.tab() as tab:
            run_id = await _ended(chat, tab)
        async with chat.tab(thread=tab.thread) as again:
            await _came(again)
            assert _kinds(again).count("resume_thread") == 1
            assert not {"new_message", "update_message", "element"} & set(_kinds(again))
            assert len(again.finished()) == 1
        folds = Folds(chat.factory)
        first = await folds.get(tab.thread, run_id)
        assert first.ended
        assert await folds.get(tab.thread, run_id) is first


async def test_what_happens_while_a_conversation_is_opened_is_told_after_it(open_chat: OpenChat) -> None:
    async with open_chat() as chat, chat.tab() as tab:
        await tab.say("A page about ferns", pipeline="one")
        card = (await tab.until(lambda tab: tab.open_cards()))[0]
        async with chat.tab(thread=tab.thread) as second:
            await chat.factory.answer(card["approval_id"], "approve", None, by="somebody else")
            await chat.driving.go_on(card["run_id"])
            async with chat.tab(thread=tab.thread) as third:
                for one in (tab, second, third):
                    await one.until(lambda one: one.finished())
                    assert one.open_cards() == []
                    assert len(one.finished()) == 1


async def test_what_was_forgotten_is_not_shown_from_what_was_kept(open_chat: OpenChat) -> None:
    async with open_chat() as chat:
        async with chat.tab() as tab:
            await tab.say("A page about ferns of Anna Jansen", pipeline="one")
            card = (await tab.until(lambda tab: tab.open_cards()))[0]
            assert (await tab.decide(card["approval_id"], "reject", "Anna Jansen says no"))["ok"]
            await tab.until(lambda tab: tab.finished())
        await forget_phrase(chat.factory.db, "Anna Jansen", why="asked for", by="dora")
        async with chat.tab(thread=tab.thread) as again:
            await _came(again)
            assert [card["decided"]["answer"] for card in again.cards()] == ["[forgotten] says no"]
