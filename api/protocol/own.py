"""The factory's own pipelines as clients of the protocol see them.

A thread shows a run: what was submitted to it is the requirement, and the run's id is the thread's. The run
is executed as every other, through `service.dispatch`; what streams is told from its log, what waits for a
person is a row of `approvals`, decided once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID, uuid4, uuid5

from psycopg.rows import DictRow

from api.access import Caller
from api.protocol import answering, presenting
from api.protocol.beginning import begin
from api.protocol.bell import Bell
from api.protocol.encoding import plain
from api.protocol.errors import Conflict, NotHere, no_thread
from api.protocol.executing import Outcome
from api.protocol.graphs import OF_RUNS, Compiled
from api.protocol.presenting import Message
from api.protocol.queries import Connection, runs, threads
from api.protocol.recorder import Recorder
from api.protocol.wanted import RunWanted
from api.service import Service
from core import clock
from core.errors import BadInput, NotFound
from core.json import is_object
from graph import control
from graph.lifecycle import ENDED, WAITING
from graph.runs import Run
from models.spending.amount import usd

_LOOKS: Final = 50
"""Looks, 0.1 s apart, at whether a run that asks has come to rest."""


class InputInvalid(BadInput):
    """The input is no requirement."""


@dataclass
class Own:
    """The factory's runs, as threads."""

    service: Service
    bell: Bell
    _graph_ids: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def _factory(self) -> Any:
        return self.service.factory

    async def accept(
        self,
        assistant: DictRow,
        wanted: RunWanted,
        *,
        thread_id: UUID | None,
        caller: Caller,
        protocol: bool,
    ) -> DictRow:
        """Submit a requirement, answer a question, or look on: a run of the protocol either way.

        Raises ThreadNotFound, Conflict, NotHere, AlreadyDecided, and what the factory refuses.
        """
        if wanted.checkpoint or wanted.checkpoint_id:
            raise NotHere(
                "A run of the factory goes on from its last checkpoint only",
                untouched="Nothing was started",
                todo="`factory rollback` takes a run back; POST /threads/ID/copy forks it",
            )
        if wanted.interrupt_before or wanted.interrupt_after:
            raise InputInvalid(
                "A run of the factory has no breakpoints, no interrupt_before and no interrupt_after",
                untouched="Nothing was started",
                todo="Leave them out; `factory pause` stops a run after its current step",
            )
        if wanted.on_disconnect == "cancel":
            caller.require("control")
        thread_id, thread = await self._thread(thread_id, wanted)
        after = 0
        if thread["of_run"] is None:
            await self._submit(thread_id, assistant["graph_id"], wanted, caller)
        else:
            after = await self._go_on(thread, wanted, caller)
        return await self._record(assistant, wanted, thread_id, after, caller, protocol)

    async def _thread(self, thread_id: UUID | None, wanted: RunWanted) -> tuple[UUID, DictRow]:
        create = thread_id is None or wanted.if_not_exists == "create"
        thread_id = thread_id or uuid4()
        async with self.service.factory.db.pool.connection() as conn:
            if create:
                await threads.insert(conn, thread_id, now=clock.now(), metadata={})
            thread = await threads.get(conn, thread_id)
        if thread is None:
            raise no_thread(thread_id, untouched="Nothing was started")
        return thread_id, thread

    async def _submit(self, thread_id: UUID, graph_id: str, wanted: RunWanted, caller: Caller) -> None:
        if wanted.command and wanted.command.resume is not None:
            raise Conflict("Nothing waits for an answer on this thread", untouched="Nothing was started")
        run_id = str(thread_id)
        configurable: dict[str, Any] = (wanted.config or {}).get("configurable") or {}
        options: dict[str, Any] = {**configurable, **(wanted.context or {})}
        given, fields = presenting.requirement_of(wanted.input)
        options |= fields
        factory = self.service.factory
        budget, approve_all = options.get("budget_usd"), bool(options.get("approve_all"))
        if approve_all:
            caller.require("approve")
        project = options.get("project")
        project = _project_for(caller, None if project is None else str(project))
        try:
            await factory.services.run(run_id)  # submitted already, and then this process was killed
        except NotFound:
            await factory.submit(
                given,
                project=project,
                pipeline=pipeline_of(graph_id),
                approve_all=approve_all,
                budget_usd=None if budget is None else usd(str(budget)),
                widens=False,
                by=caller.name,
                run_id=run_id,
            )
        async with factory.db.pool.connection() as conn:
            await threads.set_run(conn, thread_id, run_id)

    async def _go_on(self, thread: DictRow, wanted: RunWanted, caller: Caller) -> int:
        """Answer what the run asks; without an answer, look on. How far its log had come before."""
        factory = self.service.factory
        run_id: str = thread["of_run"]
        run = await factory.services.run(run_id)
        after = await _length(self.service, run_id)
        waiting = await factory.approvals.pending(run_id)
        resume = wanted.command.resume if wanted.command else None
        if wanted.command and (wanted.command.update or wanted.command.goto):
            raise NotHere(
                "A run of the factory takes answers, and no update or goto", untouched="Nothing was changed"
            )
        if resume is None and wanted.input is not None:
            resume = answering.of_words(run, waiting, wanted.input)
        if resume is not None:
            await answering.decide(self.service, run, waiting, resume, caller)
        elif run.status in ENDED:
            raise Conflict(
                f"Run {run_id} has ended: {run.status}",
                untouched="Nothing was started",
                todo="Start a new thread",
            )
        return after

    async def _record(
        self,
        assistant: DictRow,
        wanted: RunWanted,
        thread_id: UUID,
        after: int,
        caller: Caller,
        protocol: bool,
    ) -> DictRow:
        async with self.service.factory.db.pool.connection() as conn, conn.transaction():
            thread = await threads.get(conn, thread_id, lock=True)
            assert thread is not None
            row = await begin(conn, thread, assistant, wanted, by=caller.name, after=after, protocol=protocol)
        # After the record: where this process is killed in between, whoever follows the run dispatches it.
        await self.service.dispatch.go_on(thread["of_run"])
        return row

    async def follow(self, run: DictRow, recorder: Recorder, wanted: Callable[[], str | None]) -> Outcome:
        """Tell what the factory's log says of the run, until it ends or waits for a person."""
        async with self.service.factory.db.pool.connection() as conn:
            thread = await threads.get(conn, run["thread_id"])
        assert thread is not None
        run_id: str = thread["of_run"]
        telling = presenting.Telling(self.service, run, recorder, run_id)
        await telling.begin()
        await self.service.dispatch.go_on(run_id)
        try:
            async for event in self.service.factory.follow(run_id, after=run["source_seq"]):
                await telling.tell(event)
                if event.kind == "run.ended" or await self._rests(run_id, event.kind):
                    break
        except asyncio.CancelledError:
            if wanted() is None:
                raise
        outcome = await self.outcome(run_id)
        await telling.end(outcome)
        return outcome

    async def _rests(self, run_id: str, kind: str) -> bool:
        if kind not in ("run.status", "approval.requested"):
            return False
        if not await self._asks(run_id):
            return False
        # The row and the event come first; the checkpoint that waits, a moment later.
        for _ in range(_LOOKS):
            graph = await self.graph(run_id)
            snapshot = await graph.aget_state({"configurable": {"thread_id": run_id}})
            asked = {one.value.get("approval_id") for one in snapshot.interrupts if is_object(one.value)}
            pending = {one.id for one in await self.service.factory.approvals.pending(run_id)}
            if pending and pending <= asked:
                return await self._asks(run_id)
            await asyncio.sleep(0.1)
        return True

    async def _asks(self, run_id: str) -> bool:
        run = await self.service.factory.services.run(run_id)
        return run.status in WAITING and bool(await self.service.factory.approvals.pending(run_id))

    async def outcome(self, run_id: str) -> Outcome:
        """How the factory's run stands, as the end of a run of the protocol."""
        factory = self.service.factory
        run = await factory.services.run(run_id)
        messages = await self.messages(run_id)
        graph = await factory.graph(run)
        snapshot = await graph.aget_state({"configurable": {"thread_id": run_id}})
        values = {**plain(snapshot.values), "messages": [one.view for one in messages]}
        values |= {"status": run.status}
        asked = await presenting.interrupts(factory, run_id) if run.status not in ENDED else {}
        outcome = Outcome("success", "idle", values, asked)
        if run.status in ("failed", "rejected", "cancelled"):
            outcome.status = "interrupted" if run.status == "cancelled" else "error"
            outcome.thread = "idle" if run.status == "cancelled" else "error"
            outcome.error = {"error": f"run-{run.status}", "message": run.failure or run.status}
        elif asked:
            outcome.status = outcome.thread = "interrupted"
        elif run.status not in ENDED:
            outcome.status, outcome.thread = "interrupted", "busy"
        return outcome

    async def messages(self, run_id: str) -> list[Message]:
        """The run told as a conversation, out of its log."""
        return presenting.conversation(run_id, await self.service.factory.events.read(run_id))

    async def graph(self, run_id: str) -> Compiled:
        """The graph of a run's pipeline, on the run's checkpoints."""
        return await self.service.factory.graph(await self.service.factory.services.run(run_id))

    async def cancel(self, run: DictRow, action: str, caller: Caller) -> None:
        """Cancel the factory's run that a run of the protocol follows; raises NotHere, NotPermitted."""
        caller.require("control")
        if action == "rollback":
            raise NotHere(
                "What a run of the factory has done is in its repository and its log, and is not forgotten",
                untouched="Nothing was cancelled",
                todo="Cancel it with action=interrupt; `factory rollback` takes it back to a stage",
            )
        async with self.service.factory.db.pool.connection() as conn:
            thread = await threads.get(conn, run["thread_id"])
        if thread is not None and thread["of_run"]:
            by = f"{caller.name} (Agent Protocol)"
            await control.cancel(self.service.factory.services, thread["of_run"], by=by)

    async def copy(self, thread: DictRow, by: str) -> DictRow:
        """Fork a run of the factory: the same requirement, in a project of its own, from its beginning on."""
        factory = self.service.factory
        run = await factory.services.run(thread["of_run"])
        target = uuid4()
        await factory.submit(run.requirement, pipeline=run.pipeline, by=by, run_id=str(target), widens=False)
        async with factory.db.pool.connection() as conn:
            metadata = {**thread["metadata"], "forked_from": str(thread["thread_id"])}
            made = await threads.insert(conn, target, now=clock.now(), metadata=metadata, of_run=str(target))
            row = await made.fetchone()
        assert row is not None
        return row

    async def adopt(self, conn: Connection, thread_id: UUID) -> bool:
        """Whether the thread is that of a run that came through another surface; then it is made."""
        await self._show(conn)
        return await threads.get(conn, thread_id) is not None

    async def show_all(self) -> None:
        """Every run of the factory is a thread, as it stands now."""
        async with self.service.factory.db.pool.connection() as conn:
            await self._show(conn)
            stale = await threads.stale(conn, sorted(ENDED))
        for row in stale:
            await self.current(row)

    async def _show(self, conn: Connection) -> None:
        for row in await threads.unshown(conn):
            metadata = {"graph_id": graph_id_of(row["pipeline"]), "factory_run": row["id"]}
            await threads.show(conn, thread_id_of(row["id"]), row["id"], metadata)

    async def current(self, row: DictRow) -> DictRow:
        """The thread of a factory's run as it stands now, whatever surface moved it."""
        factory = self.service.factory
        async with factory.db.pool.connection() as conn:
            if await runs.active(conn, row["thread_id"]):
                return row  # whoever follows it keeps it up to date
        outcome = await self.outcome(row["of_run"])
        run: Run = await factory.services.run(row["of_run"])
        async with factory.db.pool.connection() as conn:
            await threads.settle(
                conn,
                row["thread_id"],
                status=outcome.thread,
                values=outcome.values,
                interrupts=outcome.interrupts,
                error=outcome.error if outcome.thread == "error" else None,
                now=max(clock.now(), run.ended_at or run.created_at),
            )
            now = await threads.get(conn, row["thread_id"])
        assert now is not None
        return now


def pipeline_of(graph_id: str) -> str:
    """The pipeline that a graph's id stands for."""
    if graph_id == "factory":
        return "full"
    if graph_id.startswith("team-"):
        return f"team:{graph_id.removeprefix('team-')}"
    return graph_id.removeprefix("factory-")


def graph_id_of(pipeline: str) -> str:
    """The id of the graph that stands for a pipeline."""
    if pipeline.startswith("team:"):
        return f"team-{pipeline.removeprefix('team:')}"
    return "factory" if pipeline == "full" else f"factory-{pipeline}"


def thread_id_of(run_id: str) -> UUID:
    """The id of the thread that shows a run: the run's own where it is a UUID, else one computed from it."""
    try:
        return UUID(run_id)
    except ValueError:
        return uuid5(OF_RUNS, run_id)


def _project_for(caller: Caller, wanted: str | None) -> str | None:
    """In which project a run may be that names one, or none. Raises NotPermitted."""
    bound = caller.scopes.projects
    if wanted is None and bound is not None and len(bound) == 1:
        (wanted,) = bound
    caller.require_project(wanted)
    return wanted


async def _length(service: Service, run_id: str) -> int:
    log = await service.factory.events.read(run_id)
    return log[-1].seq if log else 0
