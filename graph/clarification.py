"""Clarification: one team asks another, the broker bounds it, a person stands at the end of every chain."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import Any

from langchain_core.messages import BaseMessage, HumanMessage, ToolMessage

from core import clock, faults
from core.json import JsonObject
from core.redaction import redact
from graph import clarification_queries, people
from graph.broker import PERSON, Request, refusal
from graph.mailing import FACTORY
from graph.pauses import after_pauses
from graph.stage_context import StageContext, called_payload
from graph.state import ClarificationCall, StageState
from graph.work import CLARIFY
from models.calls import Call
from models.errors import ModelFailure
from models.following import first_reply
from teams import prompts
from teams.contract import ResultInvalid
from teams.globs import any_matches
from teams.replies import answer_schema, parse_answer
from workspace.mail.message import Status
from workspace.repository import Repository

FILES_SHOWN = 16_000
"""Characters of its own deliverables that the asked team is shown: about 4,000 tokens, a quarter of the
smallest context a model may have here."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What the asked team says."""

    text: str


@dataclass(frozen=True, slots=True)
class Unanswered:
    """Nobody could say; a person is asked."""

    reason: str


@dataclass(frozen=True)
class Clarify:
    """The node that puts one pending question of a stage."""

    stage: StageContext

    async def clarify(self, state: StageState) -> dict[str, Any]:
        """Refuse, answer, or pass to a person the first question that waits."""
        stage, asker = self.stage, self.stage.team
        pending = state["pending"][0]
        number = state["clarifications"] + 1
        request = Request(
            asker=asker.id,
            target=pending["target"],
            question=pending["question"],
            chain=(asker.id,),
            asked=state["clarifications"],
            most=asker.limits.clarifications,
            depth=asker.limits.depth,
        )
        # Refusals cost no question, so the call that asked belongs to the key.
        key = f"{stage.key(state)}/clarify/{state['calls']}.{len(state['pending'])}.{number}"
        reason = refusal(request, stage.team_ids)
        await self._record(state, request, key, reason)
        if reason:
            text = f"refused: {reason}"
            return {"messages": [_heard(pending, text, key)], "pending": state["pending"][1:]}
        if request.target != PERSON:
            # What an earlier try of this node has settled stays settled: it is not asked twice.
            outcome = await self._known(state, key) or await self._within_limit(state, request, key)
            if isinstance(outcome, Answered):
                return await self._answered(state, request, pending, key, outcome)
            await self._escalated(state, request, key, outcome.reason)
            why = f"{request.target} did not answer: {outcome.reason}. "
        else:
            why = ""
        approval = await stage.services.approvals.request(
            state["run_id"],
            kind="clarification",
            key=key,
            team=asker.id,
            title=f"{asker.name} asks" + (f" (meant for {request.target})" if why else ""),
            question=request.question,
            allowed=("respond", "reject"),
            default_answer="Use the assumption named in the question, and record it as one.",
            detail={"asker": asker.id, "target": request.target, "why": why.strip()},
        )
        return {"question": people.question(approval), "clarifications": number}

    async def heard(self, state: StageState) -> dict[str, Any]:
        """Give a person's answer to the team that asked."""
        stage = self.stage
        pending = state["pending"][0]
        answer = await people.settle(stage.services, state)
        if answer is None:
            return {}
        said = answer["text"].strip()
        if answer["decision"] == "reject":
            text = f"refused: the person will not answer this. {said}".strip()
        elif answer["decision"] == "expired":
            text = "refused: nobody answered in time. Decide, and name the assumption."
        else:
            text = f"answer of {PERSON} ({answer['by']}): {said or 'yes'}"
        suffix = f"heard/{state['calls']}.{len(state['pending'])}.{state['clarifications']}"
        payload: JsonObject = {
            "asker": stage.team.id,
            "target": PERSON,
            "question": pending["question"],
            "answer": said,
            "decision": answer["decision"],
        }
        await stage.event(state, "clarification.answered", payload, suffix)
        number = state["clarifications"]
        key = f"{stage.key(state)}/clarify/{state['calls']}.{len(state['pending'])}.{number}"
        mailing = await stage.services.mail(state["run_id"])
        await mailing.post(
            "clarification",
            key,
            f"{key}/heard",
            sender=f"{PERSON} ({answer['by']})" if answer["by"] else FACTORY,
            to=[stage.team.id],
            subject=f"Re: {pending['question']}",
            body=said or answer["decision"],
            status="answered" if answer["decision"] == "respond" else "closed",
            reply=True,
        )
        return {
            "messages": [_heard(pending, text, f"{stage.key(state)}/{suffix}")],
            "pending": state["pending"][1:],
            "question": people.NOBODY_ASKED,
        }

    async def _known(self, state: StageState, key: str) -> Answered | Unanswered | None:
        """How the question ended, if it did: the answer, or why there is none."""
        async with self.stage.services.db.pool.connection() as conn:
            row = await clarification_queries.select_clarification(conn, state["run_id"], key)
        if row is None or row["status"] not in {"answered", "escalated"}:
            return None
        return Answered(row["answer"]) if row["status"] == "answered" else Unanswered(row["reason"])

    async def _within_limit(self, state: StageState, request: Request, key: str) -> Answered | Unanswered:
        seconds = self.stage.team.limits.answer_seconds
        try:
            async with asyncio.timeout(seconds):
                return await self._ask(state, request, key)
        except TimeoutError:
            return Unanswered(f"no answer within {seconds} s")
        except ModelFailure as failure:
            return Unanswered(str(failure))

    async def _ask(self, state: StageState, request: Request, key: str) -> Answered | Unanswered:
        """The target answers as a focused objective; it may ask on, within the same limits."""
        services = self.stage.services
        target = services.registry.team(request.target)
        repository = await self.stage.repository(state)
        head = await repository.run_head(state["run_id"])
        text = prompts.clarify(
            team=target,
            operative=target.author,
            objective=f"{state['run_id']}/{target.id}/{state['round']}",
            asker=request.asker,
            requirement=state["requirement"],
            question=request.question,
            files=await _own_files(repository, head, target.deliverables),
            team_ids=self.stage.team_ids,
        )
        turns: list[BaseMessage] = [
            prompts.system(target, target.author, native=None),
            HumanMessage(text),
        ]
        for turn in range(1, 4):
            call = Call(
                run_id=state["run_id"],
                team=target.id,
                operative=target.author.id,
                kind="clarify",
                key=f"{key}/{target.id}/{turn}{after_pauses(state)}",
                paid_by=self.stage.team.id,
            )
            models = await services.models_for(state["run_id"], target.id)
            call, reply = await first_reply(
                models,
                target.author.alias,
                turns,
                call=call,
                failed=partial(self.stage.failed, state),
                schema=answer_schema(self.stage.team_ids),
            )
            await services.events.append(
                state["run_id"],
                "model.called",
                called_payload(call, reply),
                team=target.id,
                key=f"{call.key}/called",
            )
            faults.point("clarify.called")
            turns.append(reply.message)
            try:
                answer = parse_answer(reply.text)
            except ResultInvalid as invalid:
                turns.append(
                    HumanMessage(prompts.repair(invalid.errors, team=target, operative=target.author))
                )
                continue
            if answer.needs_target:
                onward = Request(
                    asker=target.id,
                    target=answer.needs_target,
                    question=answer.needs_question,
                    chain=(*request.chain, target.id),
                    asked=request.asked,
                    most=request.most,
                    depth=request.depth,
                )
                turns.append(HumanMessage(await self._ask_on(state, onward, f"{key}/{turn}")))
                continue
            if answer.known and answer.answer.strip():
                return Answered(answer.answer.strip())
            return Unanswered(f"{target.id} does not know")
        return Unanswered(f"{target.id} gave no usable answer")

    async def _ask_on(self, state: StageState, request: Request, key: str) -> str:
        reason = (
            refusal(request, self.stage.team_ids)
            if request.target != PERSON
            else "only the first asker may ask a person"
        )
        await self._record(state, request, key, reason)
        team = self.stage.services.registry.team(request.asker)
        if reason:
            return prompts.answer_to_asker(f"refused: {reason}", team=team, operative=team.author)
        outcome = await self._ask(state, request, key)
        if isinstance(outcome, Answered):
            await self._settled(state, request, key, outcome)
            said = f"answer of {request.target}: {outcome.text}"
        else:
            await self._escalated(state, request, key, outcome.reason)
            said = f"refused: {outcome.reason}"
        return prompts.answer_to_asker(said, team=team, operative=team.author)

    async def _answered(
        self, state: StageState, request: Request, pending: ClarificationCall, key: str, outcome: Answered
    ) -> dict[str, Any]:
        await self._settled(state, request, key, outcome)
        return {
            "messages": [_heard(pending, f"answer of {request.target}: {outcome.text}", key)],
            "pending": state["pending"][1:],
            "clarifications": state["clarifications"] + 1,
        }

    async def _record(self, state: StageState, request: Request, key: str, reason: str) -> None:
        services = self.stage.services
        payload: JsonObject = {
            "asker": request.asker,
            "target": request.target,
            "question": request.question,
            "depth": len(request.chain),
        }
        kind = "clarification.asked"
        if reason:
            kind, payload = "clarification.refused", {**payload, "reason": reason}
        async with services.db.pool.connection() as conn, conn.transaction():
            await clarification_queries.insert_clarification(
                conn,
                clarification_id=clock.new_id("clarification"),
                run_id=state["run_id"],
                objective_id=f"{state['run_id']}/{self.stage.team.id}/{state['round']}",
                asker=request.asker,
                target=request.target,
                question=redact(request.question),
                status="refused" if reason else "asked",
                reason=reason or None,
                depth=len(request.chain),
                chain=list(request.chain),
                key=key,
            )
            await services.events.append(
                state["run_id"], kind, payload, team=request.asker, key=f"{key}/asked", conn=conn
            )
        await self._post(state, request, key, "asked", request.question, "closed" if reason else "open")
        if reason:
            await self._post(state, request, key, "refused", f"Not put: {reason}", "closed")

    async def _settled(self, state: StageState, request: Request, key: str, outcome: Answered) -> None:
        await self._settle(state, request, key, "answered", {"answer": outcome.text}, answer=outcome.text)

    async def _escalated(self, state: StageState, request: Request, key: str, reason: str) -> None:
        await self._settle(state, request, key, "escalated", {"reason": reason}, reason=reason)

    async def _settle(
        self,
        state: StageState,
        request: Request,
        key: str,
        status: str,
        more: JsonObject,
        *,
        answer: str | None = None,
        reason: str | None = None,
    ) -> None:
        services = self.stage.services
        payload: JsonObject = {
            "asker": request.asker,
            "target": request.target,
            "question": request.question,
            **more,
        }
        async with services.db.pool.connection() as conn, conn.transaction():
            await clarification_queries.settle_clarification(
                conn,
                state["run_id"],
                key,
                status=status,
                answer=None if answer is None else redact(answer),
                reason=None if reason is None else redact(reason),
            )
            await services.events.append(
                state["run_id"],
                f"clarification.{status}",
                payload,
                team=request.asker,
                key=f"{key}/{status}",
                conn=conn,
            )
        said = answer if answer is not None else f"No answer: {reason}. A person is asked."
        await self._post(state, request, key, status, said, "answered" if answer else "open")

    async def _post(
        self, state: StageState, request: Request, key: str, what: str, body: str, status: Status
    ) -> None:
        """A message of the question's thread: the question itself, or what came of it."""
        asked = what == "asked"
        sender = request.asker if asked else FACTORY if what == "refused" else request.target
        mailing = await self.stage.services.mail(state["run_id"])
        await mailing.post(
            "clarification",
            key,
            f"{key}/{what}",
            sender=sender,
            to=[request.target if asked else request.asker],
            subject=f"{'' if asked else 'Re: '}{request.question}",
            body=body,
            status=status,
            reply=not asked,
        )


def after_clarify(state: StageState) -> str:
    """To the person when one was asked, to the next question when there is one, else back to work."""
    if people.waits(state):
        return "ask_person"
    return "clarify" if state["pending"] else "work"


def _heard(pending: ClarificationCall, text: str, key: str) -> BaseMessage:
    if pending["call_id"]:
        return ToolMessage(text, tool_call_id=pending["call_id"], name=CLARIFY, id=f"{key}/answer")
    return HumanMessage(prompts.quoted_answer(text), id=f"{key}/answer")


async def _own_files(repository: Repository, head: str, deliverables: tuple[str, ...]) -> dict[str, str]:
    """The asked team's own deliverables as they are on the run's branch, within FILES_SHOWN characters."""
    shown: dict[str, str] = {}
    left = FILES_SHOWN
    for path in await repository.files(head):
        if left > 0 and any_matches(deliverables, path):
            text = await repository.read(head, path) or ""
            shown[path] = text if len(text) <= left else text[:left] + "\n… (cut)"
            left -= len(text)
    return shown
