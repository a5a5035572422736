"""Whose turn it is, where a process drives its runs itself, and after one died between a wish and its end."""

from __future__ import annotations

import asyncio

import pytest

from graph import control, turns, wanted
from graph.driver import RunBusy
from graph.queue.driving import Dispatch
from tests.graph.conftest import OpenSmall


async def test_a_process_that_drives_its_run_itself_waits_for_its_turn(open_small: OpenSmall) -> None:
    async with open_small() as factory:
        first = await factory.submit("Small pages", project="shop", pipeline="one")
        assert (await factory.drive(first)).waiting
        second = await factory.submit(
            "Small pages", project="shop", pipeline="one", approve_all=True, if_active="enqueue"
        )
        with pytest.raises(RunBusy, match=first):
            await factory.drive(second, wait=False)
        driving = asyncio.create_task(factory.drive(second))
        await asyncio.wait([driving], timeout=0.1)
        assert not driving.done()
        assert await turns.behind(factory.db, second) == [first]
        await control.cancel(factory.services, first, by="ada")
        assert (await driving).status == "completed"
        assert (await factory.summary(second)).waits_behind == []


async def test_a_wish_that_its_writer_did_not_live_to_carry_out_is_carried_out_by_a_worker(
    open_small: OpenSmall,
) -> None:
    async with open_small() as factory, Dispatch.open(factory) as dispatch:
        first = await factory.submit("Small pages", project="shop", pipeline="one")
        await factory.drive(first)
        await wanted.want(factory.db, factory.events, first, "cancel", by="ada")  # and then it was killed
        await dispatch.keep()
        assert (await factory.summary(first)).status == "cancelled"
