"""Graphs that take their time, or fail."""

from __future__ import annotations

import asyncio
import operator
import os
from typing import Annotated, Any, TypedDict

from langgraph.graph import END, START, StateGraph


class State(TypedDict, total=False):
    steps: Annotated[list[str], operator.add]
    hold: bool
    """Whether the second node waits until the file `gate` is there."""
    gate: str


async def first(state: State) -> dict[str, Any]:
    return {"steps": ["first"]}


async def second(state: State) -> dict[str, Any]:
    while state.get("hold") and not os.path.exists(state.get("gate", "")):
        await asyncio.sleep(0.02)
    return {"steps": ["second"]}


def fail(state: State) -> dict[str, Any]:
    raise RuntimeError("this graph always fails")


_slow = StateGraph(State)
_slow.add_node("first", first)
_slow.add_node("second", second)
_slow.add_edge(START, "first")
_slow.add_edge("first", "second")
_slow.add_edge("second", END)
graph = _slow.compile()

_broken = StateGraph(State)
_broken.add_node("first", first)
_broken.add_node("fail", fail)
_broken.add_edge(START, "first")
_broken.add_edge("first", "fail")
_broken.add_edge("fail", END)
broken = _broken.compile()
