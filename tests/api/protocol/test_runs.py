"""Runs of foreign graphs: streamed, joined, cancelled, queued, taken over."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
from langgraph_sdk.errors import ConflictError, NotFoundError

from api.protocol.opened import AgentProtocol
from tests.api.conftest import TOKEN, served_over_http
from tests.api.protocol.conftest import GRAPHS, OpenProtocol, Spoken, told, until

ASKED = [{"question": "Go on?"}]


async def _asked(spoken: Spoken, thread_id: str) -> str:
    """Run `talk` to its question; the interrupt's id."""
    await spoken.client.runs.wait(thread_id, "talk", input={"told": ["start"]})
    thread = await spoken.client.threads.get(thread_id)
    assert thread["status"] == "interrupted"
    (waiting,) = thread["interrupts"].values()
    return str(waiting[0]["id"])


async def test_a_run_streams_in_several_modes_asks_and_goes_on(open_protocol: OpenProtocol) -> None:
    async with open_protocol() as spoken:
        runs, threads = spoken.client.runs, spoken.client.threads
        thread_id = (await threads.create())["thread_id"]
        modes: list[Any] = ["values", "updates", "messages-tuple", "custom"]
        before = await told(runs.stream(thread_id, "talk", input={"told": ["start"]}, stream_mode=modes))
        assert before[0][0] == "metadata"
        kinds = {name for name, _ in before}
        assert kinds == {"metadata", "values", "updates", "messages", "custom"}
        assert ("custom", {"name": "progress", "at": "speak"}) in before
        (said,) = [data for name, data in before if name == "messages"]
        assert (said[0]["content"], said[1]["langgraph_node"]) == ("one", "speak")
        (asked,) = [
            data["__interrupt__"] for name, data in before if name == "updates" and "__interrupt__" in data
        ]
        assert [one["value"] for one in asked] == ASKED
        assert (await threads.get(thread_id))["status"] == "interrupted"

        rest: list[Any] = ["messages", "tasks", "checkpoints", "debug"]
        after = await told(
            runs.stream(thread_id, "talk", command={"resume": "yes"}, stream_mode=rest, stream_subgraphs=True)
        )
        kinds = {name.split("|")[0] for name, _ in after}
        assert {"messages/metadata", "messages/complete", "tasks", "checkpoints", "debug"} <= kinds
        assert any(name.startswith("tasks|nested:") for name, _ in after)
        state = await threads.get_state(thread_id)
        assert state["values"]["told"] == ["start", "speak", "answered yes"]
        assert [message["content"] for message in state["values"]["messages"]] == ["one", "inside", "two"]
        assert (await threads.get(thread_id))["status"] == "idle"
        assert [run["status"] for run in await runs.list(thread_id)] == ["success", "interrupted"]


async def test_all_that_langchain_tells_is_a_mode_too(open_protocol: OpenProtocol) -> None:
    async with open_protocol() as spoken:
        parts = await told(
            spoken.client.runs.stream(None, "slow", input={"steps": []}, stream_mode=["events", "values"])
        )
        events = [data["event"] for name, data in parts if name == "events"]
        assert (events[0], events[-1]) == ("on_chain_start", "on_chain_end")
        assert [data for name, data in parts if name == "values"][-1] == {"steps": ["first", "second"]}


async def test_two_answers_at_the_same_instant_are_given_once(open_protocol: OpenProtocol) -> None:
    async with open_protocol() as spoken:
        runs, threads = spoken.client.runs, spoken.client.threads
        thread_id = (await threads.create())["thread_id"]
        asked = await _asked(spoken, thread_id)
        answers = await asyncio.gather(
            *(runs.create(thread_id, "talk", command={"resume": f"by {n}"}) for n in range(5)),
            runs.create(thread_id, "talk", command={"resume": {asked: "by name"}}),
            return_exceptions=True,
        )
        accepted = [one for one in answers if isinstance(one, dict)]
        refused = [one for one in answers if isinstance(one, ConflictError)]
        assert (len(accepted), len(refused)) == (1, 5)
        await runs.join(thread_id, accepted[0]["run_id"])
        values = (await threads.get_state(thread_id))["values"]
        assert len([line for line in values["told"] if line.startswith("answered")]) == 1
        with pytest.raises(ConflictError):
            await runs.create(thread_id, "talk", command={"resume": "too late"})


async def test_a_stream_is_joined_in_another_process_and_after_the_last_event(
    open_protocol: OpenProtocol, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    async with open_protocol() as spoken:
        thread_id = (await spoken.client.threads.create())["thread_id"]
        given = {"hold": True, "gate": str(gate)}
        run = await spoken.client.runs.create(thread_id, "slow", input=given, stream_mode="updates")
        service = spoken.served.service
        async with (
            AgentProtocol.open(service, graphs_file=GRAPHS, executes=False) as other,
            served_over_http(service, other) as elsewhere,
        ):
            url = f"{elsewhere.url}/threads/{thread_id}/runs/{run['run_id']}/stream"
            headers = {"x-api-key": TOKEN}
            joined = asyncio.create_task(elsewhere.http.get(url, headers=headers))
            async with elsewhere.http.stream("GET", url, headers=headers) as early:
                async for line in early.aiter_lines():
                    if line.startswith("data: ") and "first" in line:
                        break  # it leaves in the middle
            gate.touch()
            whole = (await joined).text
            assert whole.index("event: metadata") < whole.index('{"first"') < whole.index('{"second"')
            first = next(line for line in whole.splitlines() if line.startswith("id: "))[4:]
            again = await elsewhere.http.get(url, headers={**headers, "Last-Event-ID": first})
            assert again.text == whole[whole.index("\n\n") + 2 :]
            wrong = await elsewhere.http.get(url, headers={**headers, "Last-Event-ID": "abc"})
            assert wrong.status_code == 422


async def test_a_second_run_waits_is_refused_or_comes_first(
    open_protocol: OpenProtocol, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    async with open_protocol() as spoken:
        runs, threads = spoken.client.runs, spoken.client.threads
        held = {"hold": True, "gate": str(gate), "steps": ["a"]}
        thread_id = (await threads.create())["thread_id"]
        first = await runs.create(thread_id, "slow", input=held)
        with pytest.raises(ConflictError):
            await runs.create(thread_id, "slow", input={}, multitask_strategy="reject")
        second = await runs.create(thread_id, "slow", input={"steps": ["b"]}, multitask_strategy="enqueue")
        assert (await runs.get(thread_id, second["run_id"]))["status"] == "pending"
        third = await runs.create(
            thread_id, "slow", input={"hold": False, "steps": ["c"]}, multitask_strategy="interrupt"
        )
        await runs.join(thread_id, third["run_id"])
        statuses = {run["run_id"]: run["status"] for run in await runs.list(thread_id)}
        assert statuses == {
            first["run_id"]: "interrupted",
            second["run_id"]: "interrupted",
            third["run_id"]: "success",
        }
        steps = (await threads.get_state(thread_id))["values"]["steps"]
        assert steps[0] == "a"
        assert steps[-3:] == ["c", "first", "second"]


async def test_a_rollback_takes_back_what_the_run_has_done(
    open_protocol: OpenProtocol, tmp_path: Path
) -> None:
    async with open_protocol() as spoken:
        runs, threads = spoken.client.runs, spoken.client.threads
        thread_id = (await threads.create())["thread_id"]
        await runs.wait(thread_id, "slow", input={"steps": ["kept"]})
        held = {"hold": True, "gate": str(tmp_path / "never"), "steps": ["lost"]}
        run = await runs.create(thread_id, "slow", input=held)
        await until(spoken, thread_id, "lost")
        await runs.cancel(thread_id, run["run_id"], wait=True, action="rollback")
        with pytest.raises(NotFoundError):
            await runs.get(thread_id, run["run_id"])
        values = (await threads.get_state(thread_id))["values"]
        assert values["steps"] == ["kept", "first", "second"]
        assert (await threads.get(thread_id))["status"] == "idle"


async def test_a_run_is_cancelled_at_once(open_protocol: OpenProtocol, tmp_path: Path) -> None:
    async with open_protocol() as spoken:
        runs, threads = spoken.client.runs, spoken.client.threads
        thread_id = (await threads.create())["thread_id"]
        held = {"hold": True, "gate": str(tmp_path / "never")}
        run = await runs.create(thread_id, "slow", input=held)
        await until(spoken, thread_id, "first")
        async with asyncio.timeout(30):
            await runs.cancel(thread_id, run["run_id"], wait=True)
        assert (await runs.get(thread_id, run["run_id"]))["status"] == "interrupted"
        assert (await threads.get(thread_id))["status"] == "interrupted"
        with pytest.raises(ConflictError):
            await runs.cancel(thread_id, run["run_id"])
        # The thread goes on from where it was.
        done = await runs.wait(thread_id, "slow", input={"hold": False})
        assert done["steps"][-1] == "second"


async def test_a_client_that_goes_takes_its_run_along_if_it_said_so(
    open_protocol: OpenProtocol, tmp_path: Path
) -> None:
    async with open_protocol() as spoken:
        thread_id = (await spoken.client.threads.create())["thread_id"]
        body = {
            "assistant_id": "slow",
            "input": {"hold": True, "gate": str(tmp_path / "never")},
            "on_disconnect": "cancel",
        }
        async with spoken.http.stream("POST", f"/threads/{thread_id}/runs/stream", json=body) as response:
            run_id = response.headers["content-location"].rsplit("/", 1)[1]
            async for line in response.aiter_lines():
                if line.startswith("event: values"):
                    break
        ended = await spoken.client.runs.join(thread_id, run_id)
        assert ended is not None
        assert (await spoken.client.runs.get(thread_id, run_id))["status"] == "interrupted"


async def test_breakpoints_hold_a_run_before_and_after_a_node(open_protocol: OpenProtocol) -> None:
    async with open_protocol() as spoken:
        runs, threads = spoken.client.runs, spoken.client.threads
        thread_id = (await threads.create())["thread_id"]
        held = await runs.wait(thread_id, "slow", input={"gate": "x"}, interrupt_before=["first"])
        assert held["steps"] == []
        assert (await threads.get_state(thread_id))["next"] == ["first"]
        assert (await runs.wait(thread_id, "slow", input=None, interrupt_after="*"))["steps"] == ["first"]
        assert (await runs.wait(thread_id, "slow", input=None))["steps"] == ["first", "second"]


async def test_a_command_changes_the_state_and_jumps(open_protocol: OpenProtocol) -> None:
    async with open_protocol() as spoken:
        thread_id = (await spoken.client.threads.create())["thread_id"]
        await spoken.client.runs.wait(thread_id, "slow", input={"steps": ["start"]})
        given: Any = {"update": {"steps": ["told"]}, "goto": "second"}
        done = await spoken.client.runs.wait(thread_id, "slow", command=given)
        assert done["steps"] == ["start", "first", "second", "told", "second"]
        with pytest.raises(httpx.HTTPStatusError, match="goto"):
            await spoken.client.runs.wait(thread_id, "slow", command={"goto": 7})  # type: ignore[typeddict-item]


async def test_stateless_runs_leave_nothing_in_the_lists(open_protocol: OpenProtocol) -> None:
    async with open_protocol() as spoken:
        runs, threads = spoken.client.runs, spoken.client.threads
        before = await threads.count()
        assert (await runs.wait(None, "slow", input={}))["steps"] == ["first", "second"]
        started = await runs.create_batch([{"assistant_id": "slow", "input": {}}] * 3)  # type: ignore[list-item]
        assert len({run["thread_id"] for run in started}) == 3
        assert await threads.count() == before


async def test_what_fails_is_told_and_the_thread_says_so(open_protocol: OpenProtocol) -> None:
    async with open_protocol() as spoken:
        runs, threads = spoken.client.runs, spoken.client.threads
        thread_id = (await threads.create())["thread_id"]
        parts = await told(runs.stream(thread_id, "broken", input={}))
        assert parts[-1] == ("error", {"error": "RuntimeError", "message": "this graph always fails"})
        thread = await threads.get(thread_id)
        assert (thread["status"], thread["values"]) == ("error", {"steps": ["first"]})
        assert [run["status"] for run in await runs.list(thread_id)] == ["error"]
        waited = await spoken.http.post("/runs/wait", json={"assistant_id": "broken", "input": {}})
        assert waited.json()["__error__"]["error"] == "RuntimeError"


async def test_a_run_starts_later_where_that_was_asked(open_protocol: OpenProtocol) -> None:
    async with open_protocol() as spoken:
        thread_id = (await spoken.client.threads.create())["thread_id"]
        run = await spoken.client.runs.create(thread_id, "slow", input={}, after_seconds=3600)
        assert (await spoken.client.runs.get(thread_id, run["run_id"]))["status"] == "pending"
        # A run that is due does not wait for one that is not.
        assert (await spoken.client.runs.wait(thread_id, "slow", input={}))["steps"]
        await spoken.client.runs.cancel(thread_id, run["run_id"], wait=True)


async def test_a_run_whose_process_is_gone_is_finished_by_another(
    open_protocol: OpenProtocol, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    async with open_protocol() as spoken:
        thread_id = (await spoken.client.threads.create())["thread_id"]
        given = {"hold": True, "gate": str(gate), "steps": ["start"]}
        run = await spoken.client.runs.create(thread_id, "slow", input=given, stream_mode="updates")
        await until(spoken, thread_id, "first")
        # Its process is as good as dead: it lets the lease run out, and sleeps.
        async with spoken.protocol.db.pool.connection() as conn:
            await conn.execute("UPDATE protocol_runs SET leased_until = now() - interval '1 minute'")
        async with AgentProtocol.open(spoken.served.service, graphs_file=GRAPHS):
            async with asyncio.timeout(30):
                while await _attempt(spoken, run["run_id"]) < 2:
                    await asyncio.sleep(0.02)
            gate.touch()
            await spoken.client.runs.join(thread_id, run["run_id"])
        shown = await spoken.client.runs.get(thread_id, run["run_id"])
        assert shown["status"] == "success"
        steps = (await spoken.client.threads.get_state(thread_id))["values"]["steps"]
        assert steps == ["start", "first", "second"]
        parts = await told(spoken.client.runs.join_stream(thread_id, run["run_id"]))
        # The one that slept wrote nothing more: each node's update is told once, and one end.
        assert [data for name, data in parts if name == "updates" and "second" in data] == [
            {"second": {"steps": ["second"]}}
        ]
        # Nor a checkpoint: each step of the graph has one.
        history = await spoken.client.threads.get_history(thread_id, limit=50)
        assert [(one["metadata"] or {})["step"] for one in history] == [2, 1, 0, -1]


async def _attempt(spoken: Spoken, run_id: str) -> int:
    async with spoken.protocol.db.pool.connection() as conn:
        row = await (
            await conn.execute("SELECT attempt FROM protocol_runs WHERE run_id = %s", (run_id,))
        ).fetchone()
    assert row is not None
    return int(row["attempt"])


async def test_bad_requests_are_told_and_start_nothing(open_protocol: OpenProtocol) -> None:
    async with open_protocol() as spoken:
        thread_id = (await spoken.client.threads.create())["thread_id"]
        nowhere = "3e7c2fbe-0000-4000-8000-000000000000"
        for path, body, status in (
            (f"/threads/{thread_id}/runs", {"assistant_id": "none"}, 404),
            (f"/threads/{nowhere}/runs", {"assistant_id": "slow", "input": {}}, 404),
            (f"/threads/{thread_id}/runs", {"assistant_id": "slow", "stream_mode": "loud"}, 422),
            (f"/threads/{thread_id}/runs", {}, 422),
            (f"/threads/{thread_id}/runs/{nowhere}/cancel", {}, 404),
            ("/threads/not-a-uuid/runs", {"assistant_id": "slow"}, 422),
            ("/runs/cancel", {}, 422),
            ("/runs/batch", [{"assistant_id": "slow"}] * 101, 422),
        ):
            answer = await spoken.http.post(path, json=body)
            assert (answer.status_code, answer.headers["content-type"]) == (
                status,
                "application/problem+json",
            ), path
        assert await spoken.client.runs.list(thread_id) == []


async def test_the_key_may_come_in_the_header_that_langgraph_sends(open_protocol: OpenProtocol) -> None:
    async with (
        open_protocol() as spoken,
        httpx.AsyncClient(base_url=spoken.served.url, timeout=60) as stranger,
    ):
        for headers in ({"x-api-key": TOKEN}, {"authorization": f"Bearer {TOKEN}"}):
            assert (await stranger.post("/threads/search", json={}, headers=headers)).status_code == 200
        assert (await stranger.post("/threads/search", json={})).status_code == 401
        assert (await stranger.get("/ok")).json() == {"ok": True}
        assert (await stranger.get("/info")).json()["flags"]["assistants"] is True
