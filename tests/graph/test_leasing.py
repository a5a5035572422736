"""A stage holds its lease while it works, and runs of one project are told of each other."""

import asyncio
from typing import Any

import pytest

from graph import leasing
from graph.stage_context import StageContext
from tests.graph.conftest import OpenSmall
from tests.packs.brain import Chat, ask, write
from workspace.leases import Lease


async def test_a_run_is_told_of_another_that_works_on_the_same_paths_and_neither_waits(
    open_small: OpenSmall,
) -> None:
    def curious(chat: Chat) -> str:
        """The first run asks a person, so that it is still at work while the second one passes."""
        if "first" in chat.text and "answer of person" not in chat.text:
            return ask("person", "Which?")
        return write("docs/scout.md", "# Scout") if "wrote docs/scout.md" not in chat.text else "Done."

    async with open_small({"scout/work": curious}) as factory:
        one = await factory.submit("The first", project="shop", pipeline="one")
        (asked,) = (await factory.drive(one)).waiting
        assert asked.kind == "clarification"
        (held,) = await factory.services.leases.live("shop")
        assert (held.run_id, held.stage, held.team) == (one, "scout.1", "scout")
        assert held.paths == ("docs/**",)

        two = await factory.submit("The second", project="shop", pipeline="one")
        assert [waits.kind for waits in (await factory.drive(two)).waiting] == ["review"]
        (told,) = await factory.events.read(two, kinds=["lease.shared"])
        assert told.payload == {"run": one, "team": "scout", "stage": "scout.1", "paths": ["docs/**"]}
        assert [lease.run_id for lease in await factory.services.leases.live("shop")] == [one]

        await factory.answer(asked.id, "respond", "This", by="me")
        assert [waits.kind for waits in (await factory.drive(one)).waiting] == ["review"]
        assert await factory.services.leases.live("shop") == []


async def test_a_team_is_told_who_else_changes_the_file_that_it_has_written(open_small: OpenSmall) -> None:
    seen: list[str] = []

    def first(chat: Chat) -> str:
        if chat.turn == 0:
            return write("docs/scout.md", "# Scout")
        return ask("person", "Go on?") if "answer of person" not in chat.text else "Done."

    def second(chat: Chat) -> str:
        seen.append(chat.last)
        return write("docs/scout.md", "# Other") if chat.turn == 0 else "Done."

    rules = {"scout/work": lambda chat: first(chat) if "first" in chat.text else second(chat)}
    async with open_small(rules) as factory:
        one = await factory.submit("The first", project="shop", pipeline="one")
        await factory.drive(one)
        await factory.drive(await factory.submit("The second", project="shop", pipeline="one"))
        assert f"scout of {one} is changing this file too" in seen[-1]


async def test_a_lease_lasts_as_long_as_a_node_works_however_long_that_is(
    open_small: OpenSmall, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_small() as factory:
        run = await factory.submit("Small pages", project="shop", pipeline="one")
        leases, renewed, enough = factory.services.leases, list[str](), asyncio.Event()
        renew = leases.renew

        async def counted(lease: Lease) -> None:
            await renew(lease)
            renewed.append(lease.stage)
            if len(renewed) > 3:
                enough.set()

        monkeypatch.setattr(leases, "renew", counted)
        monkeypatch.setattr(leasing, "_BEAT", 0.001)
        context = StageContext(factory.services, factory.registry.team("scout"), ("scout",))
        state: Any = {"run_id": run, "round": 1}

        async def node(_: Any) -> dict[str, Any]:
            await enough.wait()
            return {}

        await leasing.leased(context, node)(state)
        assert set(renewed) == {"scout.1"}
        (held,) = await leases.live("shop")
        assert held.stage == "scout.1"
        beats = len(renewed)
        await leasing.give_back(context, state)
        assert (await leases.live("shop"), len(renewed)) == ([], beats)
