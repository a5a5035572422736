"""Brains for the doubles: what a played model says."""

import json
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage

from models.errors import ModelScriptEnded
from tests.doubles.ollama_server import Brain


def offline_brain() -> Brain:
    """The offline model behind Ollama's wire, so that a whole run can go over HTTP.

    A request that it has no script for (the canary, say) is answered with a greeting.
    """
    from models.offline import OfflineModel

    model = OfflineModel()

    def think(
        messages: list[dict[str, Any]], options: dict[str, Any], format: Any, tools: list[dict[str, Any]]
    ) -> dict[str, Any]:
        try:
            reply = model.invoke([_message(message) for message in messages])
        except ModelScriptEnded:
            return {"content": "Good morning."}
        calls = [{"function": {"name": call["name"], "arguments": call["args"]}} for call in reply.tool_calls]
        return {"content": str(reply.text), **({"tool_calls": calls} if calls else {})}

    return think


def _message(message: dict[str, Any]) -> BaseMessage:
    content = str(message.get("content") or "")
    match message["role"]:
        case "system":
            return SystemMessage(content)
        case "assistant":
            calls = [
                {"name": call["function"]["name"], "args": _arguments(call), "id": str(number)}
                for number, call in enumerate(message.get("tool_calls") or [])
            ]
            return AIMessage(content=content, tool_calls=calls)
        case "tool":
            return ToolMessage(content, tool_call_id=str(message.get("tool_call_id", "")))
        case _:
            return HumanMessage(content)


def _arguments(call: dict[str, Any]) -> dict[str, Any]:
    arguments = call["function"]["arguments"]
    return json.loads(arguments) if isinstance(arguments, str) else arguments
