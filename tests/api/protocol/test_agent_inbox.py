"""What LangChain's Agent Inbox asks for: requests as its source makes them get what it needs.

It was not run in a browser. It lists interrupted threads by graph, reads each one's interrupts in LangChain's
form, streams a decision in the mode `events`, and looks at the thread again.
"""

from __future__ import annotations

from typing import Any

from tests.api.protocol.conftest import OpenProtocol, Spoken, told
from tests.api.protocol.test_own import PAGE


async def shown(spoken: Spoken) -> list[dict[str, Any]]:
    """The threads of its first page."""
    wanted = {"offset": 0, "limit": 10, "status": "interrupted", "metadata": {"graph_id": "factory-one"}}
    answer = await spoken.http.post("/threads/search", json=wanted)
    assert answer.status_code == 200, answer.text
    return list(answer.json())


def card(thread: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """What it draws of a thread: the action's arguments, and which decisions have a button."""
    (interrupt,) = thread["interrupts"].values()
    value = interrupt[0]["value"]
    request = value["action_requests"][0]
    assert {"name", "args", "description"} <= set(request)
    return request, value["review_configs"][0]["allowed_decisions"]


async def decide(spoken: Spoken, thread: dict[str, Any], kind: str, args: Any) -> int:
    """Send a decision as its form does; the status of the answer."""
    resume = {"decisions": [{"type": kind, "args": args}]}
    wanted = {"assistant_id": "factory-one", "command": {"resume": resume}, "stream_mode": "events"}
    path = f"/threads/{thread['thread_id']}/runs/stream"
    async with spoken.http.stream("POST", path, json=wanted, timeout=60) as answer:
        body = (await answer.aread()).decode()
    assert answer.status_code != 200 or "event: error" not in body, body[-500:]
    return answer.status_code


async def test_agent_inbox_gets_what_it_asks_for(open_protocol: OpenProtocol) -> None:
    async with open_protocol() as spoken:
        thread_id = (await spoken.client.threads.create())["thread_id"]
        await told(spoken.client.runs.stream(thread_id, "factory-one", input=PAGE))
        (thread,) = await shown(spoken)
        assert thread["thread_id"] == thread_id
        request, buttons = card(thread)
        assert {"approve", "edit", "reject"} <= set(buttons)

        # Words to a question are an edited argument there; none is no answer.
        nothing = {"action": request["name"], "args": request["args"] | {"answer": " "}}
        assert await decide(spoken, thread, "edit", nothing) == 422
        words = {"action": request["name"], "args": request["args"] | {"answer": "paint it blue"}}
        assert await decide(spoken, thread, "edit", words) == 200
        run = (await spoken.http.get(f"/api/v1/runs/{thread_id}/record")).json()
        assert run["round"] == 2
        wanted = {"run": thread_id, "state": "decided"}
        decided = (await spoken.http.get("/api/v1/approvals", params=wanted)).json()["items"]
        (approval,) = [one for one in decided if one["decision"] == "respond"]
        assert approval["answer"] == "paint it blue"

        (thread,) = await shown(spoken)
        request, _ = card(thread)
        accepted = {"action": request["name"], "args": request["args"]}
        assert await decide(spoken, thread, "approve", accepted) == 200
        assert (await spoken.http.get(f"/threads/{thread_id}")).json()["status"] == "idle"
        assert await shown(spoken) == []
