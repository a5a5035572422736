"""Driving a run: one process at a time executes it, from its last checkpoint, until it ends or waits.

Who answers a question only writes a row in `approvals`; who drives the run picks the row up. So it does not
matter which process answers, and an answer is never lost between the two.
"""

# pyright: reportUnknownMemberType=false
# (LangGraph's own StateGraph has unknown types in its signatures.)

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Protocol

import psycopg
from langchain_core.runnables import RunnableConfig
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Command, StateSnapshot

from core import logs
from core.database import DatabaseUnavailable
from core.errors import BadInput, FactoryError
from core.fencing import Fenced
from core.tasks import CLEANING, end
from governance.approvals import AlreadyDecided, Approval
from graph import control, order, paying, people, rollback, undoing
from graph.checkpoints import forget
from graph.holds import Hold
from graph.lifecycle import ENDED, WAITING, RunStatus, move
from graph.pipeline import first_input
from graph.runs import Run
from graph.services import Services

_log = logs.get(__name__)

APPROVED_BY_FLAG: Final = frozenset({"approval", "review", "release", "clarification"})
"""What `--approve-all` decides. Not an escalation or a budget: a flag has no guidance to give."""


_ERROR_KEPT: Final = 2_000
"""Characters of an error that the event log keeps."""

_PAUSES: Final = (0.5, 2.0, 5.0)
"""Seconds before a run is taken up again whose database went away."""

_PATIENCE: Final = 0.2
"""Seconds between two looks at a run that somebody else drives."""

_LOCK_TRIES: Final = 20
"""Looks at whether a run is driven elsewhere, before a rollback gives up."""


class Stuck(FactoryError):
    """The run's graph stopped without an end and without a question."""


class RunBusy(BadInput):
    """Another process drives the run."""

    http_status = 409


@dataclass(frozen=True, slots=True)
class Outcome:
    """How far a run has come."""

    status: RunStatus
    waiting: tuple[Approval, ...] = ()
    """The questions that wait for a person; empty when it has ended."""


class Graphs(Protocol):
    """Gives the compiled graph that a run goes through."""

    async def __call__(self, run: Run, /) -> CompiledStateGraph[Any, Any, Any, Any]:
        """The graph of the run's pipeline, with the services of the run's model."""
        ...


@dataclass(frozen=True)
class Driver:
    """Executes runs in this process."""

    services: Services
    graphs: Graphs

    async def drive(self, run_id: str, *, wait: bool = True) -> Outcome:
        """Execute the run until it ends or waits.

        Where another process does so already, wait for that one; without `wait`, raise RunBusy.

        Errors of a node leave the run as it is: it can be driven again, from its last checkpoint. So that is
        what happens, a few times, where the database goes away; then DatabaseUnavailable is raised.
        """
        for pause in (*_PAUSES, None):
            try:
                with logs.about(run=run_id):
                    return await self._drive(run_id, wait)
            except Fenced as fenced:
                # It stood still for so long that somebody else has the run: that one is waited for.
                if not wait or pause is None:
                    raise _busy(run_id) from fenced
                await asyncio.sleep(pause)
            except (psycopg.OperationalError, DatabaseUnavailable) as error:
                if pause is None:
                    raise DatabaseUnavailable(
                        f"The database went away while run {run_id} was being worked on: {error}",
                        untouched="What was recorded is kept",
                        todo=f"Continue with `factory resume {run_id}` when the database is back",
                    ) from error
                _log.warning("run.lost_database", run=run_id, error=str(error), again_in=pause)
                await asyncio.sleep(pause)
        raise AssertionError("the last round returns or raises")

    async def _drive(self, run_id: str, wait: bool) -> Outcome:
        while True:
            async with self.services.holds.hold(run_id) as hold:
                if hold is not None:
                    with hold.entered():
                        await order.go_on(self.services.db, run_id)
                        await self._obedient(hold, run_id)
            if hold is None and not wait:
                raise _busy(run_id)
            if hold is None:
                # Then look for oneself: the other may have finished, or died with the run half way.
                await asyncio.sleep(_PATIENCE)
                continue
            outcome = await self.outcome(run_id)
            if outcome.status in ENDED or await control.stands_still(self.services, run_id):
                return outcome
            # An answer may have been written between the last look and the unlock; its writer saw the lock
            # taken and left the run to us.
            goes_on = await self._goes_on(run_id)
            if outcome.waiting and not goes_on:
                return outcome
            if not goes_on:
                raise Stuck(
                    f"Run {run_id} is {outcome.status}, with nothing to do and nothing to wait for",
                    untouched="Its checkpoints are as they were",
                    todo=f"Look at it with `factory replay {run_id}`",
                )

    async def roll_back(self, run_id: str, stage: str, *, by: str) -> rollback.Aim:
        """Take the run back to where `stage` had ended; raises RunBusy where somebody drives it."""
        for _ in range(_LOCK_TRIES):
            async with self.services.holds.hold(run_id) as hold:
                if hold is not None:
                    with hold.entered():
                        await order.go_on(self.services.db, run_id)
                        run = await self.services.run(run_id)
                        graph = await self.graphs(run)
                        return await rollback.roll_back(self.services, graph, run, stage, by=by)
            # The database may not have noticed yet that a process was killed.
            await asyncio.sleep(_PATIENCE)
        raise _busy(run_id)

    async def outcome(self, run_id: str) -> Outcome:
        """The run's status and the questions that wait."""
        run = await self.services.run(run_id)
        return Outcome(run.status, tuple(await self.services.approvals.pending(run_id)))

    async def _execute(self, run_id: str) -> None:
        services = self.services
        run = await services.run(run_id)
        if (begun := await rollback.unfinished(services, run)) is not None:
            await rollback.finish(services, await self.graphs(run), run, begun)
            run = await services.run(run_id)
        if run.status in ENDED:
            await undoing.conclude(self.services, run)
            return
        await paying.agree(services, run)
        graph = await self.graphs(run)
        config: RunnableConfig = {
            "configurable": {"thread_id": run_id},
            "metadata": {"run_id": run_id, "project": run.project},
            "recursion_limit": 10_000,
        }
        went_on = False
        while True:
            if run.approve_all:
                await self._approve_all(run_id)
            await services.approvals.expire(await services.db.now())
            snapshot = await graph.aget_state(config)
            given, answered = await self._next_input(run, snapshot)
            started = snapshot.created_at is not None
            # Without an answer, one pass finishes whatever a crash cut off; a second would change nothing.
            # Tasks that have ended and are not taken in yet are no `next`; it goes on from them all the same.
            if started and not answered and (went_on or not snapshot.tasks):
                break
            try:
                await graph.ainvoke(given, config, durability=services.settings.durability)
            except (psycopg.OperationalError, DatabaseUnavailable):
                raise  # there is no log to write it to
            except Exception as error:
                # Without a key: each time that it stops is worth a line, and the log must not hide why.
                with suppress(FactoryError):
                    what = {"error": f"{type(error).__name__}: {error}"[:_ERROR_KEPT]}
                    await services.events.append(run_id, "run.interrupted", what)
                raise
            finally:
                forget(graph, run_id)
            went_on = True
        await self._stopped(run_id, snapshot)

    async def _next_input(self, run: Run, snapshot: StateSnapshot) -> tuple[Any, bool]:
        """What to invoke the graph with, and whether it carries answers.

        Before the first checkpoint: the run's input. With answers: a resume of just those interrupts, by id.
        Else None, which continues what a crash cut off and leaves open interrupts open.
        """
        if snapshot.created_at is None:
            return first_input(run.id, run.requirement, run.change), False
        answers: dict[str, Any] = {}
        for interrupt in snapshot.interrupts:
            approval = await self.services.approvals.get(interrupt.value["approval_id"])
            if approval.decision is not None:
                answers[interrupt.id] = people.resume_value(approval)
        return (Command(resume=answers), True) if answers else (None, False)

    async def _approve_all(self, run_id: str) -> None:
        for approval in await self.services.approvals.pending(run_id):
            if approval.kind not in APPROVED_BY_FLAG:
                continue
            decision = "approve" if "approve" in approval.allowed else "respond"
            try:
                await self.services.approvals.decide(
                    approval.id, decision, answer=approval.default_answer, by="--approve-all"
                )
            except AlreadyDecided:
                continue  # a person was quicker, which is fine

    async def _stopped(self, run_id: str, snapshot: StateSnapshot) -> None:
        run = await self.services.run(run_id)
        if run.status in ENDED:
            await undoing.conclude(self.services, run)
        elif snapshot.interrupts and (reason := await self._failed_stages(run)):
            # What still waits for a person beside it cannot save the run.
            await move(self.services.db, self.services.events, run_id, "failed", failure=reason)
            await undoing.conclude(self.services, await self.services.run(run_id))
        elif snapshot.interrupts:
            open_ones = await self.services.approvals.pending(run_id)
            paused = any(approval.kind == paying.BUDGET for approval in open_ones)
            if paused or run.status not in WAITING:
                target: RunStatus = "paused" if paused else "awaiting_input"
                await move(self.services.db, self.services.events, run_id, target)

    async def _failed_stages(self, run: Run) -> str:
        """Which stages have failed in the run's round, and why; empty when none has."""
        ended = await self.services.events.read(run.id, kinds=["stage.ended", "run.rolled_back"])
        undone = max(
            (n for n, event in enumerate(ended, start=1) if event.kind == "run.rolled_back"), default=0
        )
        return "; ".join(
            f"{event.team}: {event.payload['reason']}"
            for event in ended[undone:]
            if event.payload["verdict"] == "fail" and event.payload["round"] == run.revision + 1
        )

    async def _goes_on(self, run_id: str) -> bool:
        """Whether a person wants something of the run that no driver has heard of yet: an answer, an end."""
        run = await self.services.run(run_id)
        if run.status in ENDED or run.wanted is not None:
            return run.status not in ENDED
        graph = await self.graphs(run)
        snapshot = await graph.aget_state({"configurable": {"thread_id": run_id}})
        _, answered = await self._next_input(run, snapshot)
        return answered

    async def _obedient(self, hold: Hold, run_id: str) -> None:
        """Execute the run for as long as it is ours, and until a person wants it to stop."""
        if await control.obey(self.services, run_id):
            return
        working = asyncio.create_task(self._execute(run_id))
        watching = asyncio.create_task(hold.disturbed())
        try:
            await asyncio.wait((working, watching), return_when=asyncio.FIRST_COMPLETED)
        finally:
            await end(working, again=CLEANING)
            await end(watching)
        if not working.cancelled():
            working.result()
        elif hold.lost:
            raise DatabaseUnavailable("The run is not held by this process any more")
        else:
            await control.obey(self.services, run_id)


def _busy(run_id: str) -> RunBusy:
    return RunBusy(
        f"Run {run_id} is being worked on by another process",
        untouched="Nothing was changed",
        todo="Wait until it ends or waits, or stop that process; then try again",
    )
