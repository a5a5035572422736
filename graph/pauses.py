"""How calls are named after a pause for want of budget."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def after_pauses(state: Mapping[str, Any]) -> str:
    """The end of the keys of calls that are made after a pause; empty before the first."""
    pauses = state.get("pauses", 0)
    return f"~{pauses}" if pauses else ""
