"""Anthropic and Gemini through their own libraries, against a server of a little of their protocols."""

import copy
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool

from models.errors import ModelFailure
from tests.models.calling import CODER, SCHEMA, a_call, say
from tests.models.routing.conftest import OpenCloud

pytestmark = [
    # Their libraries keep connections for the life of the process, and warn of their own ways.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

_ANTHROPIC: list[dict[str, Any]] = [
    {"type": "message_start", "message": {"id": "m", "type": "message", "role": "assistant", "model": "c",
     "content": [], "stop_reason": None, "stop_sequence": None,
     "usage": {"input_tokens": 4, "output_tokens": 1}}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Good mor"}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "ning."}},
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None},
     "usage": {"input_tokens": 4, "output_tokens": 4}},
    {"type": "message_stop"},
]  # fmt: skip
_USAGE = {"promptTokenCount": 4, "candidatesTokenCount": 4, "totalTokenCount": 8}
_GEMINI: list[dict[str, Any]] = [
    {"candidates": [{"content": {"role": "model", "parts": [{"text": "Good mor"}]}, "index": 0}]},
    {"candidates": [{"content": {"role": "model", "parts": [{"text": "ning."}]}, "index": 0,
     "finishReason": "STOP"}], "usageMetadata": _USAGE},
]  # fmt: skip
EVENTS = {"anthropic": _ANTHROPIC, "gemini": _GEMINI}

_ANTHROPIC_CALLS: list[dict[str, Any]] = [
    _ANTHROPIC[0],
    {"type": "content_block_start", "index": 0, "content_block": {"type": "tool_use", "id": "toolu_1",
     "name": "read_file", "input": {}}},
    {"type": "content_block_delta", "index": 0,
     "delta": {"type": "input_json_delta", "partial_json": '{"path": "REA'}},
    {"type": "content_block_delta", "index": 0,
     "delta": {"type": "input_json_delta", "partial_json": 'DME.md"}'}},
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "tool_use", "stop_sequence": None},
     "usage": {"input_tokens": 4, "output_tokens": 4}},
    {"type": "message_stop"},
]  # fmt: skip
_GEMINI_CALLS: list[dict[str, Any]] = [
    {"candidates": [{"content": {"role": "model", "parts": [
        {"functionCall": {"name": "read_file", "args": {"path": "README.md"}}}]}, "index": 0}]},
    {"candidates": [{"content": {"role": "model", "parts": [{"text": ""}]}, "index": 0,
     "finishReason": "STOP"}], "usageMetadata": _USAGE},
]  # fmt: skip
CALLS = {"anthropic": _ANTHROPIC_CALLS, "gemini": _GEMINI_CALLS}

REPORT = json.dumps({"reasoning": "All is there.", "confidence": 90, "status": "COMPLETE"})


def answering(kind: str, text: str) -> list[dict[str, Any]]:
    """The events of an answer with this text."""
    events: list[dict[str, Any]] = copy.deepcopy(EVENTS[kind])
    half = len(text) // 2
    for place, part in ((2, text[:half]), (3, text[half:])) if kind == "anthropic" else ():
        events[place]["delta"]["text"] = part
    for place, part in ((0, text[:half]), (1, text[half:])) if kind == "gemini" else ():
        events[place]["candidates"][0]["content"]["parts"][0]["text"] = part
    return events


CUT = 0
"""In the place of a status: the first piece of the answer, and the connection is gone."""
_FIRST = {"anthropic": 3, "gemini": 1}
"""Events up to the first piece."""


@contextmanager
def provider(
    kind: str, statuses: list[int], events: list[dict[str, Any]] | None = None
) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A server that answers with these statuses first, then with these events; its address, and what it was
    asked."""
    asked: list[dict[str, Any]] = []
    told_events = EVENTS[kind] if events is None else events

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            pass

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            asked.append(json.loads(body))
            status = statuses.pop(0) if statuses else 200
            self.send_response(status or 200)
            if status not in (200, CUT):
                told = {"type": "error", "error": {"type": "x", "message": f"status {status}", "code": status,
                                                   "status": "RESOURCE_EXHAUSTED"}}  # fmt: skip
                payload = json.dumps(told).encode()
                self.send_header("Content-Type", "application/json")
                self.send_header("Retry-After", "0")
            lines: list[str] = []
            if status in (200, CUT):
                lines = [
                    (f"event: {event['type']}\n" if "type" in event else "")
                    + f"data: {json.dumps(event)}\n\n"
                    for event in told_events
                ]
                payload = "".join(lines).encode()
                self.send_header("Content-Type", "text/event-stream")
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            first = "".join(lines[: _FIRST[kind]]).encode() if status == CUT else payload
            self.wfile.write(first)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("kind", ["anthropic", "gemini"])
@pytest.mark.parametrize("statuses", [[], [429], [529], [500, 429], [CUT], [CUT, 529]])
async def test_another_provider_answers_after_what_passes(
    cloud: OpenCloud, kind: str, statuses: list[int]
) -> None:
    with provider(kind, list(statuses)) as (url, asked):
        models = await cloud(accounts={"x": {"provider": kind, "base_url": url}})
        reply = await say(models)
        assert (reply.text, reply.provider) == ("Good morning.", kind)
        if CUT in statuses:  # what was heard of the half is charged too
            assert reply.input_tokens > 4
        else:
            assert (reply.input_tokens, reply.output_tokens) == (4, 4)
        assert len(asked) == len(statuses) + 1, "the library itself tries nothing again"


@pytest.mark.parametrize("kind", ["anthropic", "gemini"])
async def test_another_providers_refused_key_takes_its_account_out(cloud: OpenCloud, kind: str) -> None:
    with provider(kind, [401, 401]) as (url, asked):
        models = await cloud(
            accounts={"x": {"provider": kind, "base_url": url}}, limits={"patience_seconds": 0}
        )
        with pytest.raises(ModelFailure, match="key refused"):
            await say(models)
        assert len(asked) == 1


@tool
def read_file(path: str) -> str:
    """Read a file."""
    return path


HISTORY = [
    SystemMessage("You are the author."),
    HumanMessage("What is in the README?"),
    AIMessage("", tool_calls=[{"name": "read_file", "args": {"path": "src/a.py"}, "id": "toolu_0"}]),
    ToolMessage("A = 1", tool_call_id="toolu_0", name="read_file"),
]


@pytest.mark.parametrize("kind", ["anthropic", "gemini"])
@pytest.mark.parametrize("statuses", [[], [429], [529], [CUT]])
async def test_another_providers_tool_calls_come_and_their_results_go_in_its_own_words(
    cloud: OpenCloud, kind: str, statuses: list[int]
) -> None:
    with provider(kind, list(statuses), CALLS[kind]) as (url, asked):
        models = await cloud(accounts={"x": {"provider": kind, "base_url": url}})
        reply = await models.complete(CODER, HISTORY, call=a_call(), tools=[read_file])
        (called,) = reply.message.tool_calls
        assert (called["name"], called["args"]) == ("read_file", {"path": "README.md"})
        assert called["id"]
        assert len(asked) == len(statuses) + 1
        sent = json.dumps(asked[-1])
        assert "A = 1" in sent
        if kind == "anthropic":
            assert [each["name"] for each in asked[-1]["tools"]] == ["read_file"]
            assert asked[-1]["tools"][0]["input_schema"]["properties"].keys() == {"path"}
            assert '"tool_use_id": "toolu_0"' in sent
        else:
            (told,) = asked[-1]["tools"]
            assert [each["name"] for each in told["functionDeclarations"]] == ["read_file"]
            assert '"functionResponse"' in sent


@pytest.mark.parametrize("kind", ["anthropic", "gemini"])
@pytest.mark.parametrize("statuses", [[], [429], [529], [CUT]])
async def test_another_providers_answer_to_a_schema_is_whole_and_known_to_be_only_asked_for(
    cloud: OpenCloud, kind: str, statuses: list[int]
) -> None:
    with provider(kind, list(statuses), answering(kind, REPORT)) as (url, asked):
        models = await cloud(accounts={"x": {"provider": kind, "base_url": url}})
        reply = await say(models, schema=SCHEMA, call=a_call("report"), tools=[read_file])
        assert json.loads(reply.text) == json.loads(REPORT)
        assert reply.format_honoured is False, "the ladder of the reports checks it all the more"
        assert not asked[-1].get("tools"), "never tools and a schema together"
        assert len(asked) == len(statuses) + 1
