"""A factory of graphs: it is told why it is called, and gives a context manager."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypedDict

from langgraph.graph import END, START, StateGraph
from langgraph_sdk.runtime import ServerRuntime


class State(TypedDict, total=False):
    why: str
    user: str
    about: str
    remembered: str


@asynccontextmanager
async def make(config: dict[str, Any], runtime: ServerRuntime) -> AsyncIterator[Any]:
    async def tell(state: State) -> State:
        await runtime.store.aput(("made",), "last", {"why": runtime.access_context})
        kept = await runtime.store.aget(("made",), "last")
        return {
            "why": runtime.access_context,
            "user": config["configurable"].get("color", "none"),
            "about": os.environ["TALKS_ABOUT"],
            "remembered": kept.value["why"] if kept else "",
        }

    graph = StateGraph(State)
    graph.add_node("tell", tell)
    graph.add_edge(START, "tell")
    graph.add_edge("tell", END)
    yield graph.compile()
