"""Which tools there are, and how much harm each can do at worst.

A `team.toml` grants tools by these names. The risk is what the tool can reach, before the team's paths and
its sandbox narrow it.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

ToolName = Literal[
    "list_files",
    "read_file",
    "search",
    "write_file",
    "edit_file",
    "bash",
    "request_clarification",
    "read_mail",
    "send_mail",
    "recall_memory",
]

ToolRisk = Literal["reads", "writes", "runs", "asks"]
"""reads: the stage's worktree, the project's mail and memory only. writes: changes files in the worktree,
inside the team's paths. runs: executes code in the sandbox. asks: costs another team or a person time."""

TOOL_RISK: Mapping[ToolName, ToolRisk] = MappingProxyType(
    {
        "list_files": "reads",
        "read_file": "reads",
        "search": "reads",
        "write_file": "writes",
        "edit_file": "writes",
        "bash": "runs",
        "request_clarification": "asks",
        "read_mail": "reads",
        "send_mail": "asks",
        "recall_memory": "reads",
    }
)
