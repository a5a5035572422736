"""How a node is written: a named async method with a crash point at each of its borders."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from core import faults

State = TypeVar("State")
Onward = TypeVar("Onward")
Node = Callable[[State], Awaitable[dict[str, Any]]]


def node(name: str, function: Node[State]) -> Any:
    """Wrap `function` so that a fault test can kill the process as it enters and as it leaves.

    On entry the checkpoint before it is stored; on exit its effects are done and its own checkpoint is not.
    """

    async def bounded(state: State) -> dict[str, Any]:
        faults.point(f"{name}.enter")
        update = await function(state)
        faults.point(f"{name}.exit")
        return update

    return _named(bounded, function)


def choice(function: Callable[[State], Onward]) -> Callable[[State], Awaitable[Onward]]:
    """Where to go on, as an async function: LangGraph hands one that is not to a thread, each time."""

    async def chosen(state: State) -> Onward:
        return function(state)

    return _named(chosen, function)


def _named(wrapper: Any, function: Callable[..., Any]) -> Any:
    """The wrapper under the name of what it wraps, without its types: from those LangGraph would work out
    anew, for each node of each graph, what it is told anyway: the state of that graph."""
    wrapper.__module__, wrapper.__doc__ = function.__module__, function.__doc__
    wrapper.__name__, wrapper.__qualname__ = function.__name__, function.__qualname__
    wrapper.__annotations__ = {}
    return wrapper
