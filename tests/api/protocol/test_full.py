"""A run of all seventeen teams, as LangGraph's own client sees it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from langgraph_sdk.errors import ConflictError

from tests.api.protocol.conftest import OpenProtocol, told


@pytest.mark.slow
async def test_the_client_creates_streams_interrupts_resumes_forks_and_cancels_a_run_of_seventeen_teams(
    open_protocol: OpenProtocol,
) -> None:
    async with open_protocol(pack="software", pack_dirs=[], model="offline") as spoken:
        runs, threads = spoken.client.runs, spoken.client.threads
        thread_id = (await threads.create())["thread_id"]
        words = "A lending library: members borrow books, and return them in time."
        given: Any = {"messages": [{"role": "user", "content": words}]}
        modes: list[Any] = ["updates", "custom", "messages-tuple", "values"]
        asked: set[str] = set()
        teams: set[str] = set()
        for _ in range(10):
            parts = await told(runs.stream(thread_id, "factory", **given_of(given), stream_mode=modes))
            teams |= {
                data["team"] for name, data in parts if name == "custom" and data["kind"] == "stage.ended"
            }
            thread: Any = await threads.get(thread_id)
            if thread["status"] != "interrupted":
                break
            (waiting,) = thread["interrupts"].values()
            value = waiting[0]["value"]
            asked.add(value["kind"])
            yes = "approve" in value["review_configs"][0]["allowed_decisions"]
            given = {"resume": {"decisions": [{"type": "approve"} if yes else {"type": "respond"}]}}
            if value["kind"] == "review" and "fork" not in asked:
                asked.add("fork")
                fork = (await threads.copy(thread_id))["thread_id"]
                run = await runs.create(fork, "factory", input=None)
                await asyncio.sleep(1)  # into the run; what is cancelled at its first step shows less
                await runs.cancel(fork, run["run_id"], wait=True)
                assert (await spoken.served.factory.summary(fork)).status == "cancelled"
        assert "review" in asked
        skipped = {
            s.team for s in (await spoken.served.factory.summary(thread_id)).stages if s.skipped_because
        }
        assert len(teams | skipped) == 17
        state: Any = await threads.get_state(thread_id)
        assert (thread["status"], thread["values"]["status"], state["next"]) == ("idle", "completed", [])
        assert len(await threads.get_history(thread_id, limit=200)) > 10
        with pytest.raises(ConflictError):
            await threads.update_state(thread_id, {"halted": "by a client"})


def given_of(given: dict[str, Any]) -> dict[str, Any]:
    """As the client takes it: input, or a command."""
    return {"command": given} if "resume" in given else {"input": given}
