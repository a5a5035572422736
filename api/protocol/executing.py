"""Executing one attempt at a run of a foreign graph: its stream is recorded, its end is one transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, cast

from langchain_core._api import suppress_langchain_beta_warning
from langchain_core.runnables import RunnableConfig
from langgraph.stream.transformers import CustomTransformer, UpdatesTransformer
from langgraph.types import StateSnapshot
from psycopg.rows import DictRow

from api.protocol import configuring, views
from api.protocol.encoding import plain
from api.protocol.graphs import Compiled, Source
from api.protocol.modes import Translation, chunks, of_graph
from api.protocol.recorder import Recorder
from core import logs
from core.fencing import Fence, Fenced
from core.json import is_object
from core.redaction import redact

_MOST_ERROR: Final = 2_000

logger = logs.get(__name__)


@dataclass
class Outcome:
    """How a run ended."""

    status: str
    """success, interrupted, error; of a run that was cancelled: interrupted."""
    thread: str
    """What the thread is now: idle, interrupted, error."""
    values: Any = None
    interrupts: Any = None
    error: dict[str, Any] | None = None
    rollback: bool = False


async def execute(
    run: DictRow, source: Source, recorder: Recorder, wanted: Callable[[], str | None]
) -> Outcome:
    """Run the graph. A cancel comes as CancelledError, and `wanted` says which; else the process ends."""
    config = configuring.of_run(run)
    kwargs: dict[str, Any] = run["kwargs"]
    await recorder.stream("metadata", {"run_id": run["run_id"], "attempt": run["attempt"]})
    await recorder.tell("lifecycle", {"event": "running", "graph_name": run["graph_id"]})
    fence = Fence(f"thread {run['thread_id']}", run["fence"])
    # Nobody has held the thread before, and it has no checkpoint: only this execution writes any.
    fresh = run["fence"] == 1 and run["bare"]
    async with source.opened(
        "threads.create_run", cast(dict[str, Any], config), kwargs.get("context"), fence, fresh=fresh
    ) as graph:
        error: Exception | None = None
        try:
            given = await _given(graph, run, config)
            if kwargs.get("protocol"):
                await _stream_events(graph, given, config, kwargs, recorder)
            else:
                await _stream_modes(graph, given, config, kwargs, recorder)
        except asyncio.CancelledError:
            if wanted() is None:
                raise
        except Fenced:
            raise
        except Exception as failed:
            logger.warning("a graph failed", run=str(run["run_id"]), graph=run["graph_id"], exc_info=True)
            error = failed
        if wanted() == "rollback":
            return Outcome("interrupted", "idle", rollback=True)
        at_thread = configuring.at_checkpoint(run["thread_id"], None)
        snapshot = await graph.aget_state(at_thread)
    return _outcome(snapshot, error, cancelled=wanted() is not None)


def _outcome(snapshot: StateSnapshot, error: Exception | None, *, cancelled: bool) -> Outcome:
    interrupts = views.interrupts_by_task(snapshot)
    waits = bool(snapshot.next)
    outcome = Outcome("success", "idle", plain(snapshot.values), interrupts)
    if error is not None:
        outcome.status, outcome.thread = "error", "error"
        outcome.error = {"error": type(error).__name__, "message": redact(str(error))[:_MOST_ERROR]}
    elif cancelled or waits:
        outcome.status = "interrupted"
        outcome.thread = "interrupted" if waits else "idle"
    return outcome


async def _given(graph: Compiled, run: DictRow, config: RunnableConfig) -> Any:
    """Input or command. An answer is never given to another question than the one that it was for."""
    kwargs: dict[str, Any] = run["kwargs"]
    command: dict[str, Any] | None = kwargs.get("command")
    if command is None:
        return kwargs.get("input")
    resume = command.get("resume")
    if run["attempt"] > 1 and resume is not None:
        snapshot = await graph.aget_state(config)
        open_ones = {one.id for one in snapshot.interrupts}
        left = (
            {name: value for name, value in resume.items() if name in open_ones} if is_object(resume) else {}
        )
        if not left and snapshot.metadata and snapshot.metadata.get("run_id") == str(run["run_id"]):
            return None  # the answer is in a checkpoint already: go on from there
        command = {**command, "resume": left or resume}
    return configuring.command_of(command)


def _options(kwargs: dict[str, Any]) -> dict[str, Any]:
    options: dict[str, Any] = {"durability": kwargs.get("durability") or "async"}
    for name in ("interrupt_before", "interrupt_after", "context"):
        if kwargs.get(name):
            options[name] = kwargs[name]
    return options


async def _stream_modes(
    graph: Compiled, given: Any, config: RunnableConfig, kwargs: dict[str, Any], recorder: Recorder
) -> None:
    modes: Sequence[str] = kwargs["stream_mode"]
    translation = Translation(modes)
    subgraphs = bool(kwargs.get("subgraphs"))
    options = _options(kwargs) | {"stream_mode": of_graph(modes), "subgraphs": subgraphs}
    if "events" in modes:
        await _stream_all(graph, given, config, options, translation, recorder)
        return
    stream = cast(Any, graph).astream(given, config, **options)
    async for namespace, mode, chunk in chunks(stream, subgraphs=subgraphs):
        for event, data in translation.of(namespace, mode, chunk):
            await recorder.stream(event, data)


async def _stream_all(
    graph: Compiled,
    given: Any,
    config: RunnableConfig,
    options: dict[str, Any],
    translation: Translation,
    recorder: Recorder,
) -> None:
    """Mode `events`: all that LangChain tells, and the other modes from what the graph itself streams."""
    root = str(config.get("run_id"))
    async for event in cast(Any, graph).astream_events(given, config, version="v2", **options):
        if event["event"] == "on_chain_stream" and event["run_id"] == root:
            chunk = event["data"]["chunk"]
            namespace, mode, data = chunk if options["subgraphs"] else ((), *chunk)
            for name, told in translation.of(namespace, mode, data):
                await recorder.stream(name, told)
        else:
            await recorder.stream("events", event)


async def _stream_events(
    graph: Compiled, given: Any, config: RunnableConfig, kwargs: dict[str, Any], recorder: Recorder
) -> None:
    """The thread's stream: LangGraph's own events, custom and updates whether the graph asked or not."""
    own = {spec for spec in getattr(graph, "stream_transformers", None) or () if isinstance(spec, type)}
    extra = [spec for spec in (CustomTransformer, UpdatesTransformer) if spec not in own]
    with suppress_langchain_beta_warning():
        stream = await cast(Any, graph).astream_events(
            given, config, version="v3", transformers=extra, **_options(kwargs)
        )
    try:
        async for event in stream:
            params: dict[str, Any] = event["params"]
            namespace: list[str] = list(params["namespace"])
            data = params["data"]
            if event["method"] == "lifecycle" and is_object(data):
                namespace = list(data.get("namespace") or namespace)
            if event["method"] == "updates" and is_object(data) and "__interrupt__" in data:
                continue  # told as input.requested
            await recorder.tell(event["method"], _message_data(event["method"], data), namespace)
    finally:
        with suppress(Exception):
            await stream.aclose()


def _message_data(method: str, data: Any) -> Any:
    # LangGraph gives an event of a message with the metadata of its node.
    if method == "messages" and isinstance(data, tuple):
        event, metadata = cast("tuple[Any, Any]", data)
        if is_object(event) and is_object(metadata):
            return event
    return cast(Any, data)
