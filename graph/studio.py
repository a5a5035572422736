"""The factory's graphs for `langgraph dev` and LangGraph Studio (`langgraph.json` names them).

An optional door: it draws and runs the same graphs on that server's own checkpoints. The factory's own
runtime is `graph/driver.py`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.graph.state import CompiledStateGraph

from core.errors import BadInput
from graph.pipeline import build_pipeline, first_input
from graph.runner import Factory
from graph.state import RunState


@asynccontextmanager
async def full(_config: RunnableConfig) -> AsyncGenerator[CompiledStateGraph[Any, Any, Any, Any]]:
    """All seventeen teams."""
    async with Factory.open() as factory:
        yield graph_of(factory, "full")


@asynccontextmanager
async def core(_config: RunnableConfig) -> AsyncGenerator[CompiledStateGraph[Any, Any, Any, Any]]:
    """The five-team line."""
    async with Factory.open() as factory:
        yield graph_of(factory, "core")


def graph_of(factory: Factory, pipeline: str) -> CompiledStateGraph[Any, Any, Any, Any]:
    """A pipeline's graph behind a node that records the run, for a client that gives a requirement."""

    async def admit(state: RunState) -> dict[str, Any]:
        if state.get("run_id"):
            raise BadInput(
                f"This thread already has the run {state['run_id']}",
                untouched="Nothing was started",
                todo="Start a new thread",
            )
        run_id = await factory.submit(state["requirement"], pipeline=pipeline)
        return {**first_input(run_id, state["requirement"])}

    return build_pipeline(factory.services, factory.pipeline(pipeline), admit=admit)
