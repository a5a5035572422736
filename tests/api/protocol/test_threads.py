"""Threads, their states, the store, crons, and a thread's own stream."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from langgraph_sdk.errors import ConflictError, NotFoundError, UnprocessableEntityError
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from api.protocol import tending
from api.protocol.crons import ScheduleInvalid, next_time
from tests.api.protocol.conftest import OpenProtocol


async def test_threads_are_made_found_changed_copied_and_forgotten(open_protocol: OpenProtocol) -> None:
    async with open_protocol() as spoken:
        threads = spoken.client.threads
        made = await threads.create(metadata={"of": "us"}, ttl=60)
        name = made["thread_id"]
        assert (made["status"], made["values"]) == ("idle", None)
        with pytest.raises(ConflictError):
            await threads.create(thread_id=name)
        assert (await threads.create(thread_id=name, if_exists="do_nothing"))["metadata"] == {"of": "us"}
        assert (await threads.update(name, metadata={"and": 1}))["metadata"] == {"of": "us", "and": 1}
        await spoken.client.runs.wait(name, "slow", input={"steps": ["a"]})
        for match in ({"metadata": {"of": "us"}}, {"values": {"steps": ["a"]}}, {"ids": [name]}):
            assert [one["thread_id"] for one in await threads.search(**match)] == [name], match
        assert await threads.search(status="interrupted") == []
        assert await threads.count(metadata={"of": "us"}) == 1
        (told,) = await threads.search(extract={"last": "values.steps[-1]"}, select=["extracted"])
        assert told["extracted"] == {"last": "second"}  # type: ignore[typeddict-item]
        copy = (await threads.copy(name))["thread_id"]
        assert (await threads.get_state(copy))["values"]["steps"] == ["a", "first", "second"]
        assert len(await threads.get_history(copy)) == len(await threads.get_history(name)) == 4
        await threads.delete(name)
        with pytest.raises(NotFoundError):
            await threads.get(name)
        assert await threads.get_state(copy)


async def test_a_body_is_json_whatever_its_content_type_says(open_protocol: OpenProtocol) -> None:
    async with open_protocol() as spoken:
        for content_type in ("text/plain;charset=UTF-8", "application/json", "application/octet-stream"):
            answer = await spoken.http.post(
                "/threads/search", content=b'{"limit": 5}', headers={"Content-Type": content_type}
            )
            assert answer.json() == [], content_type
        assert (await spoken.http.post("/threads/search", content=b"no json")).status_code == 422


async def test_a_thread_that_has_outlived_its_time_is_forgotten(open_protocol: OpenProtocol) -> None:
    async with open_protocol() as spoken:
        threads = spoken.client.threads
        name = (await threads.create(ttl={"ttl": 5, "strategy": "delete"}))["thread_id"]
        await tending.sweep(spoken.protocol, datetime.now(UTC))
        assert await threads.get(name)
        await tending.sweep(spoken.protocol, datetime.now(UTC) + timedelta(minutes=6))
        with pytest.raises(NotFoundError):
            await threads.get(name)


async def test_a_state_is_changed_and_history_forked_from_any_point(open_protocol: OpenProtocol) -> None:
    async with open_protocol() as spoken:
        threads, runs = spoken.client.threads, spoken.client.runs
        name = (await threads.create())["thread_id"]
        await runs.wait(name, "slow", input={"steps": ["a"]})
        history = await threads.get_history(name)
        before = next(state for state in history if state["next"] == ["second"])
        assert (await threads.get_state(name, checkpoint=before["checkpoint"]))["next"] == ["second"]
        forked: Any = await threads.update_state(
            name, {"steps": ["changed"]}, as_node="first", checkpoint=before["checkpoint"]
        )
        done = await runs.wait(name, "slow", input=None, checkpoint=forked["checkpoint"])
        assert done["steps"] == ["a", "first", "changed", "second"]
        older = await threads.get_history(name, before={"configurable": before["checkpoint"]})
        assert older
        assert before["checkpoint"]["checkpoint_id"] not in [s["checkpoint"]["checkpoint_id"] for s in older]
        with pytest.raises(UnprocessableEntityError):
            await threads.update_state(name, {"steps": 7}, as_node="nobody")


async def test_the_store_keeps_what_threads_forget(open_protocol: OpenProtocol) -> None:
    async with open_protocol() as spoken:
        store = spoken.client.store
        await store.put_item(["a", "b"], key="k", value={"kind": "fern"})
        assert (await store.get_item(["a", "b"], key="k"))["value"] == {"kind": "fern"}
        found = await store.search_items(["a"], filter={"kind": "fern"})
        assert [one["key"] for one in found["items"]] == ["k"]
        assert (await store.list_namespaces(prefix=["a"]))["namespaces"] == [["a", "b"]]
        await store.delete_item(["a", "b"], key="k")
        assert await store.get_item(["a", "b"], key="k") is None
        for namespace in ([], ["a.b"], ["langgraph"], [""]):
            body = {"namespace": namespace, "key": "k", "value": {}}
            assert (await spoken.http.put("/store/items", json=body)).status_code == 422


async def test_a_cron_starts_its_run_once(open_protocol: OpenProtocol) -> None:
    async with open_protocol() as spoken:
        crons, threads = spoken.client.crons, spoken.client.threads
        thread = (await threads.create())["thread_id"]
        given = {"steps": ["by cron"]}
        cron: Any = await crons.create_for_thread(thread, "slow", schedule="0 5 * * *", input=given)
        assert await crons.count() == 1
        due = datetime.fromisoformat(cron["next_run_date"]) + timedelta(seconds=1)
        assert await tending.start_due(spoken.protocol, due) == 1
        assert await tending.start_due(spoken.protocol, due) == 0
        (run,) = await spoken.client.runs.list(thread)
        assert run["metadata"]["cron_id"] == cron["cron_id"]
        changed: Any = await crons.update(cron["cron_id"], enabled=False)
        assert changed["enabled"] is False
        assert await tending.start_due(spoken.protocol, due + timedelta(days=3)) == 0
        await crons.delete(cron["cron_id"])
        assert await crons.search() == []
        with pytest.raises(UnprocessableEntityError):
            await crons.create("slow", schedule="whenever", input={})


def test_a_schedule_is_of_its_time_zone() -> None:
    noon = datetime(2030, 1, 1, 12, tzinfo=UTC)
    assert next_time("0 6 * * *", "Europe/Berlin", noon) == datetime(2030, 1, 2, 5, tzinfo=UTC)
    for schedule, zone in (("* * * * * *", None), ("0 0 30 2 *", None), ("0 6 * * *", "Nowhere/Here")):
        with pytest.raises(ScheduleInvalid):
            next_time(schedule, zone, noon)


async def test_a_thread_streams_its_events_asks_and_goes_on(open_protocol: OpenProtocol) -> None:
    async with open_protocol() as spoken:
        async with spoken.client.threads.stream(assistant_id="talk") as thread:
            await thread.run.start(input={"told": ["start"]})
            seen = [values async for values in thread.values]
            assert seen
            assert thread.interrupted
            await thread.run.respond("yes")
            assert (await thread.output)["told"] == ["start", "speak", "answered yes"]
        # Whoever answers the same question again is told that nothing waits.
        answer = await spoken.http.post(
            f"/threads/{thread.thread_id}/commands",
            json={"id": 3, "method": "input.respond", "params": {"interrupt_id": "0" * 32, "response": 1}},
        )
        assert (answer.json()["type"], answer.json()["error"]) == ("error", "no_such_interrupt")


async def test_a_thread_of_the_factory_streams_too(open_protocol: OpenProtocol) -> None:
    async with (
        open_protocol() as spoken,
        spoken.client.threads.stream(assistant_id="factory-one") as thread,
    ):
        await thread.run.start(input={"requirement": "A page about ferns"})
        async for _ in thread.values:
            pass
        assert thread.interrupted
        await thread.run.respond({"decisions": [{"type": "approve"}]})
        assert (await thread.output)["messages"][-1]["content"].startswith("run.ended completed")


async def test_a_websocket_is_refused_without_a_token(open_protocol: OpenProtocol) -> None:
    async with open_protocol() as spoken:
        url = f"{spoken.served.url.replace('http', 'ws')}/threads/{uuid4()}/stream/events"
        for headers in ([], [("x-api-key", "wrong")]):
            with pytest.raises(InvalidStatus, match="403"):
                async with connect(url, additional_headers=headers):
                    pass


async def test_bad_commands_and_subscriptions_are_answered(open_protocol: OpenProtocol) -> None:
    async with open_protocol() as spoken:
        path = f"/threads/{uuid4()}"
        for command, status, error in (
            ([], 400, "invalid_argument"),
            ({"method": "run.start"}, 400, "invalid_argument"),
            ({"id": 1, "method": "none"}, 200, "unknown_command"),
            ({"id": 1, "method": "run.start", "params": {"assistant_id": "none"}}, 200, "no_such_run"),
            ({"id": 1, "method": "state.get"}, 200, "no_such_run"),
        ):
            answer = await spoken.http.post(f"{path}/commands", json=command)
            assert (answer.status_code, answer.json()["error"]) == (status, error), command
        wrong: list[dict[str, Any]] = [{}, {"channels": ["loud"]}]
        wrong += [{"channels": ["values"], "depth": -1}, {"channels": ["values"], "since": "x"}]
        for wanted in wrong:
            refused = await spoken.http.post(f"{path}/stream/events", json=wanted)
            assert refused.status_code in (400, 422), wanted
