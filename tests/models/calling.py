"""Short words for calling a model in a test."""

from typing import Any

from langchain_core.messages import HumanMessage
from langchain_core.tools import tool

from core.json import JsonObject
from models.calls import Call, CallKind, Reply
from models.service import Models

CODER = "factory/coder"

SCHEMA: JsonObject = {
    "type": "object",
    "properties": {
        "reasoning": {"type": "string"},
        "confidence": {"type": "integer", "minimum": 0},
        "status": {"enum": ["COMPLETE", "BLOCKED"]},
    },
    "required": ["reasoning", "confidence", "status"],
}


def a_call(kind: CallKind = "work", key: str = "1", team: str = "backend_engineering") -> Call:
    return Call(run_id="run-1", team=team, operative="author", kind=kind, key=key)


async def say(models: Models, text: str = "Good morning!", alias: str = CODER, **how: Any) -> Reply:
    """One call with one message."""
    return await models.complete(alias, [HumanMessage(text)], **{"call": a_call(), **how})


@tool
def read_file(path: str) -> str:
    """Read a file."""
    return path
