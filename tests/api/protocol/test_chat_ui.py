"""What Agent Chat UI asks for: its requests, recorded once from a browser, get what it needs.

`chat_ui.json` has them as the browser sent them through the UI's own proxy, which says that a body is
plain text. THREAD, RUN and ASSISTANT stand for what the server made. The last, the decision, was not
recorded: it has the form that the UI's source gives it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.api.protocol.conftest import OpenProtocol, Spoken

RECORDED: list[dict[str, Any]] = json.loads(
    (Path(__file__).parent / "chat_ui.json").read_text(encoding="utf-8")
)


async def test_agent_chat_ui_gets_what_it_asks_for(open_protocol: OpenProtocol) -> None:
    async with open_protocol() as spoken:
        names = {"ASSISTANT": "factory-one"}
        streams: list[list[tuple[str, Any]]] = []
        for request in RECORDED:
            answer, path = await _sent(spoken, request, names)
            if path == "/threads":
                names["THREAD"] = answer["thread_id"]
            elif path.endswith("/runs/stream"):
                names["RUN"] = answer.pop("run_id")
                streams.append(answer["parts"])
            elif path == "/info":
                assert "version" in answer
        first, second = streams
        values = [data for event, data in first if event == "values"]
        assert values[-1]["messages"][0]["content"].startswith("A lending library")
        request = values[-1]["__interrupt__"][0]["value"]
        # What its card for a person's decision is made of.
        assert set(request["action_requests"][0]) >= {"name", "args", "description"}
        assert set(request["review_configs"][0]) >= {"action_name", "allowed_decisions"}
        decided = [data for event, data in second if event == "values"][-1]
        assert decided["messages"][-1]["type"] in ("ai", "human")
        history = await spoken.client.threads.get_state(names["THREAD"])
        assert len(history["values"]["messages"]) > len(values[-1]["messages"])


async def _sent(spoken: Spoken, request: dict[str, Any], names: dict[str, str]) -> tuple[dict[str, Any], str]:
    """Send it as the browser did; the answer, and the path."""
    text = json.dumps(request)
    for name, value in names.items():
        text = text.replace(name, value)
    told = json.loads(text)
    body = None if told["body"] is None else json.dumps(told["body"]).encode()
    headers = {"Content-Type": "text/plain;charset=UTF-8"} if body else {}
    answer = await spoken.http.request(told["method"], told["path"], content=body, headers=headers)
    assert answer.status_code == 200, f"{told['method']} {told['path']}: {answer.text}"
    if not told["path"].endswith("/stream"):
        found = answer.json()
        return (found if isinstance(found, dict) else {"found": found}), told["path"]
    run_id = answer.headers["content-location"].rsplit("/", 1)[1]
    return {"run_id": run_id, "parts": _parts(answer.text)}, told["path"]


def _parts(text: str) -> list[tuple[str, Any]]:
    parts: list[tuple[str, Any]] = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line and line[0] != ":")
        if "event" in fields:
            parts.append((fields["event"], json.loads(fields["data"])))
    return parts
