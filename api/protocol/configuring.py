"""What a run gives its graph: config, input, command."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast
from uuid import UUID

from langchain_core.runnables import RunnableConfig
from langgraph.types import Command, Send
from psycopg.rows import DictRow

from core.errors import BadInput
from core.json import is_array

_RESERVED: Final = (
    "thread_id",
    "run_id",
    "checkpoint_id",
    "checkpoint_ns",
    "checkpoint_map",
    "graph_id",
    "assistant_id",
)
RECURSION_LIMIT: Final = 25
"""Steps of a graph that says nothing else: LangGraph's own default."""


class CommandInvalid(BadInput):
    """The command cannot be given to the graph."""


def merged(*configs: Mapping[str, Any] | None) -> dict[str, Any]:
    """Configs over one another: the later wins, key by key of `configurable` and `metadata`; tags add up."""
    whole: dict[str, Any] = {}
    for config in configs:
        for name, value in (config or {}).items():
            if name in ("configurable", "metadata") and isinstance(value, Mapping):
                whole[name] = {**whole.get(name, {}), **cast("Mapping[str, Any]", value)}
            elif name == "tags":
                whole[name] = list(dict.fromkeys([*whole.get(name, []), *value]))
            else:
                whole[name] = value
    return whole


def of_run(run: DictRow) -> RunnableConfig:
    """The config with which a run's graph is executed."""
    kwargs: dict[str, Any] = run["kwargs"]
    given: dict[str, Any] = kwargs["config"]
    ids = {
        "thread_id": str(run["thread_id"]),
        "run_id": str(run["run_id"]),
        "graph_id": run["graph_id"],
        "assistant_id": str(run["assistant_id"]),
    }
    configurable = {
        name: value
        for name, value in given.get("configurable", {}).items()
        if name not in _RESERVED and not name.startswith("__")
    }
    configurable |= {**ids, "langgraph_auth_user_id": run["by"], **(kwargs.get("checkpoint") or {})}
    config: dict[str, Any] = {
        "configurable": configurable,
        # LangGraph resumes a run of the same id where it stopped, instead of taking its input twice.
        "metadata": {**given.get("metadata", {}), **run["metadata"], **ids},
        "recursion_limit": int(given.get("recursion_limit") or RECURSION_LIMIT),
        "run_id": run["run_id"] if isinstance(run["run_id"], UUID) else UUID(run["run_id"]),
    }
    for name in ("tags", "max_concurrency", "run_name"):
        if name in given:
            config[name] = given[name]
    return cast(RunnableConfig, config)


def at_checkpoint(
    thread_id: object, checkpoint: Mapping[str, Any] | None, checkpoint_id: str | None = None
) -> RunnableConfig:
    """The config that names a thread, or one of its checkpoints."""
    configurable: dict[str, Any] = {"thread_id": str(thread_id)}
    given = {
        name: (checkpoint or {}).get(name) for name in ("checkpoint_id", "checkpoint_ns", "checkpoint_map")
    }
    configurable |= {name: value for name, value in given.items() if value is not None}
    if checkpoint_id:
        configurable["checkpoint_id"] = checkpoint_id
    return {"configurable": configurable}


def command_of(given: Mapping[str, Any]) -> Command[Any]:
    """The command as LangGraph has it; raises CommandInvalid."""
    update = given.get("update")
    if is_array(update):
        # Pairs of a key and its value, as some clients send an update.
        pairs = update
        if not all(is_array(pair) and len(pair) == 2 for pair in pairs):
            raise CommandInvalid("An update that is a list must be of pairs of a key and its value")
        update = [(pair[0], pair[1]) for pair in pairs]
    made: dict[str, Any] = {"update": update, "goto": _goto(given.get("goto"))}
    if given.get("resume") is not None:
        made["resume"] = given["resume"]
    return Command(**{name: value for name, value in made.items() if value is not None})


def _goto(given: object) -> Any:
    if given is None or isinstance(given, str):
        return given
    if isinstance(given, Sequence):
        return [_goto(one) for one in cast("Sequence[object]", given)]
    if isinstance(given, Mapping) and isinstance(cast("Mapping[str, Any]", given).get("node"), str):
        send = cast("Mapping[str, Any]", given)
        return Send(send["node"], send.get("input", send.get("arg")))
    raise CommandInvalid("`goto` names a node, a {node, input}, or a list of them")
