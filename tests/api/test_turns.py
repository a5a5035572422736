"""What a new run does about those that are active in its project, over HTTP."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx

from tests.api.conftest import OpenServed, Served
from tests.api.waiting import ASKING, ONE, asked, ended, submitted


async def given(served: Served, if_active: str | None, **more: Any) -> httpx.Response:
    """A run of the project shop that is given with a strategy."""
    wanted = ONE | {"project": "shop", "if_active": if_active} | more
    return await served.http.post("/api/v1/runs", json=wanted)


async def shown(served: Served, run_id: str) -> dict[str, Any]:
    return dict((await served.http.get(f"/api/v1/runs/{run_id}")).json())


async def waiting(served: Served) -> str:
    """A run of the project that waits for its review, and so is active."""
    run_id = await submitted(served, ASKING | {"project": "shop"})
    await asked(served, run_id)
    return run_id


async def test_reject_takes_one_of_those_that_come_at_one_instant_and_starts_nothing_else(
    open_served: OpenServed,
) -> None:
    async with open_served(jobs=0) as served:
        answers = await asyncio.gather(*(given(served, "reject") for _ in range(6)))
        assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409, 409, 409]
        (first,) = [answer.json()["run_id"] for answer in answers if answer.status_code == 201]
        refused = next(answer for answer in answers if answer.status_code == 409)
        assert (refused.json()["type"], first in refused.text) == ("urn:factory:project-busy", True)
        listed = (await served.http.get("/api/v1/runs")).json()["items"]
        assert [run["run_id"] for run in listed] == [first]
        assert (await given(served, "reject", project="other")).status_code == 201
        await served.http.post(f"/api/v1/runs/{first}/cancel")
        assert (await given(served, "reject")).status_code == 201
        assert (await given(served, "multitask")).status_code == 422


async def test_enqueue_has_runs_wait_for_each_other_in_their_order(open_served: OpenServed) -> None:
    async with open_served() as served:
        first = await waiting(served)
        second = (await given(served, "enqueue")).json()
        third = (await given(served, "enqueue")).json()
        assert (second["status"], second["waits_behind"]) == ("draft", [first])
        assert third["waits_behind"] == [first, second["run_id"]]
        # Asking for it to go on does not let it overtake.
        await served.http.post(f"/api/v1/runs/{third['run_id']}/resume")
        assert (await shown(served, third["run_id"]))["status"] == "draft"
        await served.http.post(f"/api/v1/runs/{first}/cancel")
        for each in (second, third):
            await ended(served, each["run_id"])
            assert (await shown(served, each["run_id"]))["status"] == "completed"
        begun = [
            (await served.factory.events.read(each["run_id"], kinds=["run.status"]))[0].at
            for each in (second, third)
        ]
        over = (await served.factory.events.read(second["run_id"], kinds=["run.ended"]))[0].at
        assert begun[0] < over < begun[1]


async def test_a_run_takes_the_turn_of_one_that_it_interrupts_or_rolls_back(open_served: OpenServed) -> None:
    async with open_served() as served:
        first = await waiting(served)
        for strategy, becomes, wish in (
            ("interrupt", "paused", "run.pause_wanted"),
            ("rollback", "cancelled", "run.cancel_wanted"),
        ):
            answer = await given(served, strategy)
            assert answer.status_code == 201, answer.text
            taker = answer.json()["run_id"]
            await ended(served, taker)
            assert (await shown(served, taker))["status"] == "completed"
            assert (await shown(served, first))["status"] == becomes
            (told,) = await served.factory.events.read(first, kinds=[wish])
            assert (told.payload["by"], taker in str(told.payload["reason"])) == ("owner", True)
            if strategy == "interrupt":  # nothing of it is lost: it goes on where it was
                assert (await served.http.post(f"/api/v1/runs/{first}/resume")).status_code == 202
                assert (await shown(served, first))["status"] == "awaiting_input"


async def test_who_may_not_control_runs_may_not_stop_those_of_others(open_served: OpenServed) -> None:
    async with open_served(jobs=0) as served:
        first = await submitted(served, ASKING | {"project": "shop"})
        await served.http.post("/api/v1/users", json={"name": "ci", "role": "operator"})
        wanted = {"label": "ci", "user": "ci", "permissions": ["read", "submit"]}
        made = await served.http.post("/api/v1/tokens", json=wanted)
        assert made.status_code == 201, made.text
        theirs = {"Authorization": f"Bearer {made.json()['secret']}"}
        for strategy, status in (("interrupt", 403), ("rollback", 403), ("enqueue", 201)):
            sent = ASKING | {"project": "shop", "if_active": strategy}
            answer = await served.http.post("/api/v1/runs", json=sent, headers=theirs)
            assert answer.status_code == status, answer.text
        # One that waits for its turn can be cancelled, and that is nothing to the other.
        cancelled = await served.http.post(f"/api/v1/runs/{answer.json()['run_id']}/cancel")
        assert cancelled.json()["status"] == "cancelled"
        assert (await shown(served, first))["status"] == "draft"
