"""How a node is written: a named async method with a crash point at each of its borders."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any, TypeVar

from core import faults

State = TypeVar("State")
Onward = TypeVar("Onward")
Node = Callable[[State], Awaitable[dict[str, Any]]]


def node(name: str, function: Node[State]) -> Any:
    """Wrap `function` so that a fault test can kill the process as it enters and as it leaves.

    On entry the checkpoint before it is stored; on exit its effects are done and its own checkpoint is not.
    """

    @wraps(function)
    async def bounded(state: State) -> dict[str, Any]:
        faults.point(f"{name}.enter")
        update = await function(state)
        faults.point(f"{name}.exit")
        return update

    return bounded


def choice(function: Callable[[State], Onward]) -> Callable[[State], Awaitable[Onward]]:
    """Where to go on, as an async function: LangGraph hands one that is not to a thread, each time."""

    @wraps(function)
    async def chosen(state: State) -> Onward:
        return function(state)

    return chosen
