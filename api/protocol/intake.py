"""Accepting a run: whose thread, which assistant, what about the run that works there already.

All of it is one transaction that holds the thread: two clients at the same instant come one after the other.
A run that can begin at once, in this process, is this process's from that transaction on.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final
from uuid import UUID, uuid4

from psycopg.rows import DictRow

from api.protocol import configuring, executor
from api.protocol.errors import Conflict, NothingWaits, no_thread
from api.protocol.executor import Executor
from api.protocol.queries import Connection, runs, threads
from api.protocol.wanted import RunWanted
from core import clock
from core.database import Database
from core.json import is_object

MOST_WAITING: Final = 100
"""Runs that may wait on one thread."""


async def accept(
    db: Database,
    assistant: DictRow,
    wanted: RunWanted,
    *,
    thread_id: UUID | None,
    by: str,
    protocol: bool = False,
    beginner: Executor | None = None,
) -> DictRow:
    """Record a run, and have `beginner` begin it where it has room; else it waits for an executor.

    `thread_id` None: a stateless one, on a thread of its own. Raises ThreadNotFound, Conflict, NothingWaits,
    CommandInvalid.
    """
    kwargs = _kwargs(assistant, wanted, protocol)
    if kwargs["command"]:
        configuring.command_of(kwargs["command"])  # refused here, not when it is executed
    about = {"graph_id": assistant["graph_id"], "assistant_id": str(assistant["assistant_id"])}
    values: dict[str, Any] = {
        "now": clock.now(),
        "run_id": uuid4(),
        "assistant_id": assistant["assistant_id"],
        "graph_id": assistant["graph_id"],
        "multitask_strategy": wanted.multitask_strategy or "enqueue",
        "metadata": {**assistant["metadata"], **(wanted.metadata or {}), **about},
        "kwargs": kwargs,
        "temporary": thread_id is None and wanted.on_completion != "keep",
        "by": by,
        "after_seconds": wanted.after_seconds or 0,
    }
    create = protocol or wanted.if_not_exists == "create"
    with _room(beginner, wanted) as begin:
        row, to_cancel = None, []
        how = {"about": about, "lease": executor.LEASE}
        async with db.pool.connection() as conn:
            mine = beginner.id if beginner is not None and begin is not None else None
            if thread_id is None or (create and not _answers(kwargs)):
                values["thread_id"] = thread_id or uuid4()
                row = await runs.accept_first(conn, executor=mine, **how, **values)
            if row is None:
                assert thread_id is not None
                async with conn.pipeline(), conn.transaction():
                    to_cancel, active = await _thread(conn, values, wanted, thread_id, create=create)
                    row = await runs.accept(conn, executor=None if active else mine, **how, **values)
        if begin is not None and row["status"] == "running":
            begin(row)
    for run_id, action in to_cancel:
        await executor.cancel(db, run_id, action)
    return row


def _room(
    beginner: Executor | None, wanted: RunWanted
) -> AbstractContextManager[Callable[[DictRow], None] | None]:
    return nullcontext() if beginner is None or wanted.after_seconds else beginner.room()


async def _thread(
    conn: Connection, values: dict[str, Any], wanted: RunWanted, thread_id: UUID, *, create: bool
) -> tuple[list[tuple[UUID, str]], list[DictRow]]:
    """Lock or make the run's thread, noted in `values`: runs that make way, and all that have not ended."""
    values["thread_id"] = thread_id
    thread, active = await threads.locked(conn, thread_id, make_at=values["now"] if create else None)
    if thread is None:
        raise no_thread(thread_id, untouched="No run was started")
    if thread["of_run"]:
        raise Conflict(
            f"The thread shows run {thread['of_run']} of the factory", untouched="No run was started"
        )
    _check_answer(thread, active, values["kwargs"])
    return _strategy(active, wanted), active


def _kwargs(assistant: DictRow, wanted: RunWanted, protocol: bool) -> dict[str, Any]:
    checkpoint = dict(wanted.checkpoint or {})
    if wanted.checkpoint_id:
        checkpoint["checkpoint_id"] = wanted.checkpoint_id
    command = wanted.command.model_dump(exclude_none=True) if wanted.command else None
    return {
        "input": wanted.input,
        "command": command or None,
        "config": configuring.merged(assistant["config"], wanted.config),
        "context": {**assistant["context"], **(wanted.context or {})},
        "stream_mode": wanted.modes,
        "interrupt_before": wanted.interrupt_before,
        "interrupt_after": wanted.interrupt_after,
        "webhook": wanted.webhook,
        "feedback_keys": wanted.feedback_keys,
        "subgraphs": wanted.stream_subgraphs,
        "resumable": wanted.stream_resumable,
        "durability": wanted.durability or ("exit" if wanted.checkpoint_during is False else "async"),
        "checkpoint": {
            name: checkpoint[name]
            for name in ("checkpoint_id", "checkpoint_ns", "checkpoint_map")
            if checkpoint.get(name) is not None
        }
        or None,
        "protocol": protocol,
    }


def _check_answer(thread: DictRow, active: list[DictRow], kwargs: dict[str, Any]) -> None:
    """An answer is taken once: the second of two at the same instant is told so, and does nothing."""
    command: dict[str, Any] | None = kwargs["command"]
    if not command or command.get("resume") is None:
        return
    open_ones = [one["id"] for waiting in thread["interrupts"].values() for one in waiting]
    answered = {name for run in active for name in _answers(run["kwargs"])}
    left = [name for name in open_ones if name not in answered]
    if active and all(not _answers(run["kwargs"]) for run in active) and thread["status"] != "interrupted":
        return  # it is for what the run that works now will ask
    named = _named(command["resume"], open_ones)
    if any(name in answered for name in named) or (
        not named and not left and (open_ones or thread["status"] != "interrupted")
    ):
        raise NothingWaits(
            f"Nothing waits for this answer on thread {thread['thread_id']}",
            untouched="It was not given to the graph",
            todo="Look at the thread's interrupts: somebody may have answered",
        )
    if not named and len(left) == 1:
        command["resume"] = {left[0]: command["resume"]}  # to this question, and never to a later one


def _answers(kwargs: dict[str, Any]) -> set[str]:
    command: dict[str, Any] = kwargs.get("command") or {}
    resume = command.get("resume")
    if is_object(resume):
        return set(resume)
    return {"*"} if resume is not None else set()


def _named(resume: object, open_ones: list[str]) -> list[str]:
    """The interrupts that a resume names, where it is a map of them."""
    if not is_object(resume) or not resume:
        return []
    names = list(resume)
    known = [name for name in names if len(name) == 32 and not set(name) - set("0123456789abcdef")]
    if len(known) != len(names):
        return []
    gone = [name for name in names if name not in open_ones]
    if gone:
        raise NothingWaits(
            f"Nothing waits for an answer to {gone[0]}",
            untouched="It was not given to the graph",
            todo="Look at the thread's interrupts: somebody may have answered",
        )
    return names


def _strategy(active: list[DictRow], wanted: RunWanted) -> list[tuple[UUID, str]]:
    """What is done about runs that have not ended: those to cancel, and how; raises Conflict."""
    strategy = wanted.multitask_strategy or "enqueue"
    if not active:
        return []
    if strategy == "reject":
        raise Conflict(
            f"Thread {active[0]['thread_id']} has a run already: {active[0]['run_id']}",
            untouched="No run was started",
            todo="Wait for it, cancel it, or choose another multitask_strategy",
        )
    if strategy == "enqueue":
        if len(active) > MOST_WAITING:
            raise Conflict(
                f"{len(active)} runs wait on thread {active[0]['thread_id']} already",
                untouched="No run was started",
                todo="Wait until some of them have ended",
            )
        return []
    return [(run["run_id"], strategy) for run in active]
