"""Rows and states as clients read them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from fastapi import Response
from langchain_core.runnables import RunnableConfig
from langgraph.types import Interrupt, StateSnapshot
from psycopg.rows import DictRow

from api.protocol.encoding import text_of
from core.json import is_object

_THREAD: Final = (
    "thread_id",
    "created_at",
    "updated_at",
    "state_updated_at",
    "metadata",
    "status",
    "config",
    "values",
    "interrupts",
)
_RUN: Final = (
    "run_id",
    "thread_id",
    "assistant_id",
    "created_at",
    "updated_at",
    "status",
    "metadata",
    "kwargs",
    "multitask_strategy",
)
_ASSISTANT: Final = (
    "assistant_id",
    "graph_id",
    "config",
    "context",
    "metadata",
    "name",
    "description",
    "version",
    "created_at",
    "updated_at",
)
_CRON: Final = (
    "cron_id",
    "assistant_id",
    "thread_id",
    "end_time",
    "schedule",
    "timezone",
    "payload",
    "next_run_date",
    "metadata",
    "on_run_completed",
    "enabled",
    "created_at",
    "updated_at",
)
_OF_A_CHECKPOINT: Final = ("thread_id", "checkpoint_ns", "checkpoint_id", "checkpoint_map")


def answer(value: object, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON response of any value."""
    return Response(
        text_of(value), status_code=status, media_type="application/json", headers=dict(headers or {})
    )


def page(rows: Sequence[object], *, limit: int, offset: int, more: bool) -> Response:
    """A page of a list; where there is more, the header says where it goes on."""
    headers = {"X-Pagination-Next": str(offset + limit)} if more else {}
    return answer(rows, headers=headers)


def chosen(view: dict[str, Any], select: Sequence[str] | None) -> dict[str, Any]:
    """Only the fields that were asked for; all where none was named."""
    return {name: view[name] for name in select if name in view} if select else view


def thread(row: DictRow) -> dict[str, Any]:
    """A thread."""
    view: dict[str, Any] = {name: row[name] for name in _THREAD}
    if row["error"] is not None:
        view["error"] = row["error"]
    if row["ttl"] is not None:
        view["ttl"] = {**row["ttl"], "expires_at": row["expires_at"]}
    return view


def run(row: DictRow) -> dict[str, Any]:
    """A run."""
    return {name: row[name] for name in _RUN}


def assistant(row: DictRow) -> dict[str, Any]:
    """An assistant, or one of its versions."""
    return {name: row[name] for name in _ASSISTANT if name in row}


def cron(row: DictRow) -> dict[str, Any]:
    """A cron."""
    return {**{name: row[name] for name in _CRON}, "user_id": row["by"]}


def checkpoint(config: RunnableConfig | None) -> dict[str, Any] | None:
    """What names a checkpoint, out of a config; None where there is none."""
    configurable: dict[str, Any] = (config or {}).get("configurable", {})
    return {name: configurable[name] for name in _OF_A_CHECKPOINT if name in configurable} or None


def interrupt(one: Interrupt) -> dict[str, Any]:
    """What waits for an answer."""
    return {"id": one.id, "value": one.value}


def state(snapshot: StateSnapshot) -> dict[str, Any]:
    """The state of a thread at a checkpoint."""
    return {
        "values": snapshot.values,
        "next": list(snapshot.next),
        "tasks": [_task(task) for task in snapshot.tasks],
        "metadata": _public(snapshot.metadata),
        "created_at": snapshot.created_at,
        "checkpoint": checkpoint(snapshot.config),
        "parent_checkpoint": checkpoint(snapshot.parent_config),
        "interrupts": [interrupt(one) for one in snapshot.interrupts],
        # Older clients read these two.
        "checkpoint_id": (checkpoint(snapshot.config) or {}).get("checkpoint_id"),
        "parent_checkpoint_id": (checkpoint(snapshot.parent_config) or {}).get("checkpoint_id"),
    }


def _public(metadata: Mapping[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in (metadata or {}).items() if not name.startswith("__")}


def _task(task: Any) -> dict[str, Any]:
    nested = task.state
    return {
        "id": task.id,
        "name": task.name,
        "path": list(task.path),
        "error": None if task.error is None else str(task.error),
        "interrupts": [interrupt(one) for one in task.interrupts],
        "checkpoint": checkpoint(cast(RunnableConfig, nested)) if is_object(nested) else None,
        "state": state(nested) if isinstance(nested, StateSnapshot) else None,
        "result": task.result,
    }


def interrupts_by_task(snapshot: StateSnapshot) -> dict[str, list[dict[str, Any]]]:
    """What each task of a state waits for; what subgraphs ask is asked by the task that runs them."""
    return {
        task.id: [interrupt(one) for one in task.interrupts] for task in snapshot.tasks if task.interrupts
    }
