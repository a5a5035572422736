"""The factory's own runs, as LangGraph's clients see them."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from langgraph_sdk.errors import ConflictError

from governance.access.accounts import Accounts
from tests.api.protocol.conftest import OpenProtocol, Spoken, told

PAGE = {"messages": [{"role": "user", "content": "A page about ferns"}]}


async def _to_the_review(spoken: Spoken) -> tuple[str, list[tuple[str, Any]]]:
    """A run of one team up to the question of its reviewer."""
    thread_id = (await spoken.client.threads.create())["thread_id"]
    modes: list[Any] = ["values", "updates", "messages-tuple", "custom"]
    parts = await told(spoken.client.runs.stream(thread_id, "factory-one", input=PAGE, stream_mode=modes))
    return thread_id, parts


async def test_a_requirement_is_submitted_streamed_asked_about_and_released(
    open_protocol: OpenProtocol,
) -> None:
    async with open_protocol() as spoken:
        runs, threads = spoken.client.runs, spoken.client.threads
        thread_id, parts = await _to_the_review(spoken)
        # The run's id is the thread's, and every surface knows it.
        assert (await spoken.http.get(f"/api/v1/runs/{thread_id}")).json()["status"] == "awaiting_input"
        kinds = [data["kind"] for name, data in parts if name == "custom"]
        assert kinds[0] == "run.created"
        numbers = [data["seq"] for name, data in parts if name == "custom"]
        assert numbers == sorted(set(numbers))  # each event once
        assert {"plan.decided", "stage.ended", "approval.requested"} <= set(kinds)
        said = [data[0] for name, data in parts if name == "messages"]
        assert (said[0]["type"], said[0]["content"]) == ("human", "A page about ferns")
        (asked,) = [
            data["__interrupt__"] for name, data in parts if name == "updates" and "__interrupt__" in data
        ]
        request = asked[0]["value"]
        assert request["action_requests"][0]["name"] == "review"
        assert "approve" in request["review_configs"][0]["allowed_decisions"]

        thread = await threads.get(thread_id)
        assert thread["status"] == "interrupted"
        assert [
            one["value"]["approval_id"] for waiting in thread["interrupts"].values() for one in waiting
        ] == [request["approval_id"]]
        state = await threads.get_state(thread_id)
        assert state["next"]
        assert [one["value"]["kind"] for task in state["tasks"] for one in task["interrupts"]] == ["review"]
        assert state["values"]["messages"][0]["content"] == "A page about ferns"
        history = await threads.get_history(thread_id, limit=100)
        assert len(history) > 3
        assert {one["checkpoint"]["thread_id"] for one in history} == {thread_id}

        resumed = await told(
            runs.stream(thread_id, "factory-one", command={"resume": {"decisions": [{"type": "approve"}]}})
        )
        assert resumed[-1][1]["status"] == "completed"
        assert (await threads.get(thread_id))["status"] == "idle"
        assert [run["status"] for run in await runs.list(thread_id)] == ["success", "interrupted"]
        with pytest.raises(ConflictError):
            await runs.create(thread_id, "factory-one", command={"resume": "approve"})


async def test_two_decisions_at_the_same_instant_are_taken_once(open_protocol: OpenProtocol) -> None:
    async with open_protocol() as spoken:
        runs = spoken.client.runs
        thread_id, _ = await _to_the_review(spoken)
        dialects: list[Any] = [
            {"decisions": [{"type": "approve"}]},
            [{"type": "accept", "args": None}],
            {"decisions": [{"type": "reject", "message": "no"}]},
            [{"type": "ignore", "args": None}],
        ]
        answers = await asyncio.gather(
            *(runs.create(thread_id, "factory-one", command={"resume": one}) for one in dialects),
            return_exceptions=True,
        )
        accepted = [one for one in answers if isinstance(one, dict)]
        assert len(accepted) == 1
        assert len([one for one in answers if isinstance(one, ConflictError)]) == 3
        await runs.join(thread_id, accepted[0]["run_id"])
        log = await spoken.served.factory.events.read(thread_id)
        assert len([event for event in log if event.kind == "approval.decided"]) == 1
        assert len([event for event in log if event.kind == "run.ended"]) == 1


async def test_words_typed_on_a_waiting_thread_are_the_answer(open_protocol: OpenProtocol) -> None:
    async with open_protocol() as spoken:
        thread_id, _ = await _to_the_review(spoken)
        words = {"messages": [{"role": "user", "content": [{"type": "text", "text": "Greener, please"}]}]}
        parts = await told(
            spoken.client.runs.stream(thread_id, "factory-one", input=words, stream_mode=["custom"])
        )
        decided = [data for name, data in parts if name == "custom" and data["kind"] == "approval.decided"]
        assert (decided[0]["payload"]["decision"], decided[0]["payload"]["answer"]) == (
            "respond",
            "Greener, please",
        )
        assert "round.started" in {data["kind"] for name, data in parts if name == "custom"}


async def test_a_run_of_the_factory_is_cancelled_forked_and_never_rewritten(
    open_protocol: OpenProtocol,
) -> None:
    async with open_protocol() as spoken:
        runs, threads = spoken.client.runs, spoken.client.threads
        thread_id, _ = await _to_the_review(spoken)
        for refused in (
            threads.update_state(thread_id, {"halted": "by me"}),
            threads.delete(thread_id),
            runs.create(thread_id, "factory-one", input=PAGE, checkpoint_id="x"),
            runs.create(thread_id, "factory-one", command={"goto": "release"}),
            runs.create(thread_id, "talk", input={}),
        ):
            with pytest.raises(ConflictError):
                await refused
        fork = await threads.copy(thread_id)
        assert fork["metadata"]["forked_from"] == thread_id
        run = await runs.create(fork["thread_id"], "factory-one", input=None)
        with pytest.raises(ConflictError):
            await runs.cancel(fork["thread_id"], run["run_id"], action="rollback")
        await runs.cancel(fork["thread_id"], run["run_id"], wait=True)
        assert (await runs.get(fork["thread_id"], run["run_id"]))["status"] == "interrupted"
        async with asyncio.timeout(30):
            while (await spoken.served.factory.summary(fork["thread_id"])).status != "cancelled":
                await asyncio.sleep(0.05)
        assert (await threads.get(thread_id))["status"] == "interrupted"


async def test_runs_of_other_surfaces_are_threads_too(open_protocol: OpenProtocol) -> None:
    async with open_protocol() as spoken:
        sent = {"requirement": "A page about moss", "pipeline": "one", "approve_all": True}
        run_id = (await spoken.http.post("/api/v1/runs", json=sent)).json()["run_id"]
        (thread,) = await spoken.client.threads.search(metadata={"factory_run": run_id})
        assert thread["metadata"]["graph_id"] == "factory-one"
        run = await spoken.client.runs.create(thread["thread_id"], "factory-one", input=None)
        await spoken.client.runs.join(thread["thread_id"], run["run_id"])
        shown = await spoken.client.threads.get(thread["thread_id"])
        assert (shown["status"], shown["values"]["status"]) == ("idle", "completed")
        assert [
            t["thread_id"] for t in await spoken.client.threads.search(values={"status": "completed"})
        ] == [thread["thread_id"]]


async def test_an_operator_may_answer_and_not_approve(open_protocol: OpenProtocol) -> None:
    async with open_protocol() as spoken:
        thread_id, _ = await _to_the_review(spoken)
        accounts: Accounts = spoken.served.service.access
        user = await accounts.users.add("olga", "operator", password=None, by="owner")
        key = (await accounts.tokens.issue(user, "test", by="owner"))[1]
        async with httpx.AsyncClient(
            base_url=spoken.served.url, headers={"x-api-key": key}, timeout=60
        ) as operator:
            body: dict[str, Any] = {"assistant_id": "factory-one"}
            yes = {**body, "command": {"resume": {"decisions": [{"type": "approve"}]}}}
            answer = await operator.post(f"/threads/{thread_id}/runs", json=yes)
            assert (answer.status_code, answer.json()["type"]) == (403, "urn:factory:not-permitted")
            words = {**body, "command": {"resume": [{"type": "response", "args": "Greener"}]}}
            assert (await operator.post(f"/threads/{thread_id}/runs", json=words)).status_code == 200


async def test_a_client_that_goes_takes_the_factorys_run_along_if_it_said_so(
    open_protocol: OpenProtocol,
) -> None:
    async with open_protocol() as spoken:
        thread_id = (await spoken.client.threads.create())["thread_id"]
        body: dict[str, Any] = {"assistant_id": "factory-one", "input": PAGE, "on_disconnect": "cancel"}
        async with spoken.http.stream("POST", f"/threads/{thread_id}/runs/stream", json=body) as response:
            async for line in response.aiter_lines():
                if line.startswith("event: metadata"):
                    break
        async with asyncio.timeout(30):
            while (await spoken.served.factory.summary(thread_id)).status != "cancelled":
                await asyncio.sleep(0.05)


async def test_a_breakpoint_in_a_run_of_the_factory_is_refused(open_protocol: OpenProtocol) -> None:
    async with open_protocol() as spoken:
        for wanted in ({"interrupt_before": ["plan"]}, {"interrupt_after": "*"}):
            body = {"assistant_id": "factory-one", "input": PAGE, **wanted}
            got = await spoken.http.post("/runs/wait", json=body)
            assert (got.status_code, got.json()["type"]) == (422, "urn:factory:input-invalid")
        assert await spoken.served.factory.runs() == []


async def test_an_operator_may_not_have_everything_approved(open_protocol: OpenProtocol) -> None:
    async with open_protocol(jobs=0) as spoken:
        accounts: Accounts = spoken.served.service.access
        user = await accounts.users.add("olga", "operator", password=None, by="owner")
        key = (await accounts.tokens.issue(user, "test", by="owner"))[1]
        body = {"assistant_id": "factory-one", "input": {"requirement": "x", "approve_all": True}}
        answer = await spoken.http.post("/runs", json=body, headers={"authorization": f"Bearer {key}"})
        assert (answer.status_code, answer.json()["type"]) == (403, "urn:factory:not-permitted")
        assert await spoken.served.factory.runs() == []


async def test_what_is_no_requirement_starts_nothing(open_protocol: OpenProtocol) -> None:
    async with open_protocol() as spoken:
        for given in ({}, {"messages": []}, {"requirement": "  "}, {"messages": [{"role": "user"}]}):
            answer = await spoken.http.post("/runs", json={"assistant_id": "factory-one", "input": given})
            assert (answer.status_code, answer.json()["type"]) == (422, "urn:factory:requirement-invalid"), (
                given
            )
        assert await spoken.served.factory.runs() == []
