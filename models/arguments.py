"""A tool call's arguments as the tool declared them."""

import json
from collections.abc import Sequence
from typing import Any

from langchain_core.messages import ToolCall


def with_texts(call: ToolCall, specs: Sequence[dict[str, Any]]) -> ToolCall:
    """A call whose text arguments are texts.

    langchain-ollama parses every argument that looks like JSON, so that the text of a JSON file arrives as an
    object (its answer to ollama/ollama#6155); what the tool declared as a string is written out again.
    """
    of_this = [spec["function"]["parameters"] for spec in specs if spec["function"]["name"] == call["name"]]
    declared: dict[str, Any] = of_this[0].get("properties", {}) if of_this else {}
    arguments: dict[str, Any] = {
        name: json.dumps(value, indent=2, ensure_ascii=False)
        if isinstance(value, (dict, list)) and declared.get(name, {}).get("type") == "string"
        else value
        for name, value in call["args"].items()
    }
    return {**call, "args": arguments}
