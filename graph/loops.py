"""The loop detector: a model that goes round in circles is stopped by arithmetic, not by hope."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

from core.json import JsonObject, canonical
from graph.state import TraceEntry

REPEATS: Final = 3
"""The same thing three times is a loop: twice happens to honest work, a flaky command for one."""

WINDOW: Final = 12
"""Entries kept: two periods of the longest pattern looked for, with room for actions between."""


def entry(name: str, arguments: JsonObject, observation: str, *, failed: bool) -> TraceEntry:
    """One action and its observation as digests."""
    seen = _digest(observation)
    return {
        "action": _digest(canonical([name, arguments])),
        "observation": seen,
        "error": seen if failed else "",
    }


def remember(trace: Sequence[TraceEntry], new: Sequence[TraceEntry]) -> list[TraceEntry]:
    """The trace with `new` at its end, no longer than the detector can use."""
    return [*trace, *new][-WINDOW:]


def detect(trace: Sequence[TraceEntry]) -> str:
    """What kind of loop the end of `trace` shows, in words for the model; empty when it shows none."""
    pairs = [(step["action"], step["observation"]) for step in trace]
    if len(pairs) >= REPEATS and len(set(pairs[-REPEATS:])) == 1:
        return f"the same action gave the same observation {REPEATS} times"
    if len(pairs) >= 4 and pairs[-4:-2] == pairs[-2:] and pairs[-1] != pairs[-2]:
        return "two actions alternate (A, B, A, B) and nothing changes"
    errors = [step["error"] for step in trace if step["error"]]
    if len(errors) >= REPEATS and len(set(errors[-REPEATS:])) == 1:
        return f"the same error came back {REPEATS} times"
    return ""


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:16]
