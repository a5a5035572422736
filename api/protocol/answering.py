"""An answer to a question of the factory's, in whatever form a client sends it: decided once, in the open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from api.access import Caller
from api.protocol.errors import Conflict, NothingWaits
from api.protocol.presenting import requirement_of
from api.service import Service
from core.errors import BadInput
from core.json import is_object
from governance import roles
from governance.approvals import Approval, Decision
from governance.decisions import parse_decision
from graph.lifecycle import ENDED
from graph.runs import Run

IN_WORDS: Final = frozenset({"clarification", "escalation", "review"})
"""Kinds of question that words answer."""


async def decide(
    service: Service, run: Run, waiting: Sequence[Approval], resume: object, caller: Caller
) -> None:
    """Record the decisions that a resume carries; raises NothingWaits, AlreadyDecided, NotPermitted."""
    for approval, value in await _addressed(service, run, waiting, resume):
        decision, text = parse_decision(value)
        if decision == "edit" and "edit" not in approval.allowed and "respond" in approval.allowed:
            if not text:
                raise BadInput(
                    "The argument `answer` is empty",
                    untouched="Nothing was decided",
                    todo="Write the answer there",
                )
            decision = "respond"
        caller.require(permission(approval, decision))
        by = f"{caller.name} (Agent Protocol)"
        await service.factory.answer(approval.id, decision, text, by=by)


def permission(approval: Approval, decision: Decision) -> roles.Permission:
    """What a decision takes: words are an answer, a yes or no opens a gate."""
    return "answer" if approval.kind in IN_WORDS and decision == "respond" else "approve"


async def _addressed(
    service: Service, run: Run, waiting: Sequence[Approval], resume: object
) -> list[tuple[Approval, object]]:
    """Which question each answer is for: named by approval or interrupt, or the only one that waits."""
    by_name = await _names(service, run, waiting)
    if isinstance(resume, Mapping) and resume:
        given = cast("Mapping[str, Any]", resume)
        if all(name in by_name for name in given):
            return [(by_name[name], value) for name, value in given.items()]
        if all(_is_name(name) for name in given):
            raise _nothing(run, f"Nothing waits for an answer to {next(iter(given))}")
    if not waiting:
        raise _nothing(run, f"Nothing waits for an answer in run {run.id}")
    if len(waiting) > 1:
        asked = ", ".join(approval.id for approval in waiting)
        raise Conflict(
            f"{len(waiting)} questions wait in run {run.id}",
            untouched="Nothing was decided",
            todo=f"Say which one is answered, as in {{'{waiting[0].id}': …}}: {asked}",
        )
    return [(waiting[0], resume)]


async def _names(service: Service, run: Run, waiting: Sequence[Approval]) -> dict[str, Approval]:
    names = {approval.id: approval for approval in waiting}
    graph = await service.factory.graph(run)
    snapshot = await graph.aget_state({"configurable": {"thread_id": run.id}})
    for one in snapshot.interrupts:
        value: Any = one.value
        if is_object(value) and value.get("approval_id") in names:  # pyright: ignore[reportUnknownMemberType]
            names[one.id] = names[value["approval_id"]]
    return names


def _is_name(text: str) -> bool:
    return text.startswith("approval-") or (len(text) == 32 and not set(text) - set("0123456789abcdef"))


def _nothing(run: Run, what: str) -> NothingWaits:
    ended = f" It has ended: {run.status}" if run.status in ENDED else ""
    return NothingWaits(
        f"{what}.{ended}",
        untouched="Nothing was decided",
        todo="Look at the thread's interrupts: somebody may have answered",
    )


def of_words(run: Run, waiting: Sequence[Approval], given: object) -> object:
    """What a person typed on a thread that has a run: an answer, where one question waits that takes words.

    Raises Conflict where there is no such question: two requirements are two threads.
    """
    if run.status in ENDED:
        raise Conflict(
            f"The thread has its run {run.id}, which has ended: {run.status}",
            untouched="Nothing was started",
            todo="Start a new thread; `factory change` works on what a run made",
        )
    if len(waiting) != 1 or "respond" not in waiting[0].allowed:
        raise Conflict(
            f"The thread has its run {run.id}, which {'waits for a decision' if waiting else 'is at work'}",
            untouched="Nothing was changed",
            todo="Answer with a command to resume" if waiting else "Wait until it asks or ends",
        )
    text, _ = requirement_of(given)
    if not text.strip():
        raise BadInput("There are no words in the input", untouched="Nothing was decided")
    return [{"type": "response", "args": text}]
