"""The report: a stage's TaskResult, asked for in a call of its own, up a ladder of second chances.

One repair turn that quotes the errors → one fresh attempt → the next model of the chain → BLOCKED, with
the raw text kept in the event log. Nothing is ever COMPLETE by default.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage

from core import faults
from core.events import Entry
from core.json import JsonObject
from graph import packing
from graph.stage_context import RAW_KEPT, StageContext, called
from graph.state import StageState
from models.calls import Reply
from models.errors import ModelFailure
from teams import prompts
from teams.contract import ResultInvalid, TaskResult, parse_result, wire_schema
from teams.operative import conversation


@dataclass(frozen=True)
class Report:
    """The node that asks for the TaskResult."""

    stage: StageContext

    async def report(self, state: StageState) -> dict[str, Any]:
        """Ask until a reply satisfies the schema or the ladder ends."""
        stage, team = self.stage, self.stage.team
        alias = team.author.alias
        schema = wire_schema(stage.team_ids)
        request = HumanMessage(prompts.report_request(team=team, operative=team.author, schema=schema))
        last_error = ""
        rung = 0
        models = await stage.services.models_for(state["run_id"], team.id)
        for candidate in range(models.candidates(alias)):
            try:
                fitted = await packing.fitted(stage, state, models, candidate, beside=(request,))
            except ModelFailure as failure:
                last_error = str(failure)
                continue
            history = conversation(models, alias, team, team.author, fitted.messages, candidate)
            for fresh in (True, False):
                # The first chance on each model has a repair turn; the second starts afresh, without one.
                turns: list[BaseMessage] = [*history, request]
                for _repair in range(2 if fresh else 1):
                    rung += 1
                    reply_or_error = await self._ask(state, turns, rung, candidate)
                    if isinstance(reply_or_error, TaskResult):
                        result = reply_or_error.model_dump(mode="json")
                        return {"result": result, "messages": list(fitted.update)}
                    raw, error = reply_or_error
                    last_error = str(error)
                    if not isinstance(error, ResultInvalid):
                        break
                    repair = prompts.repair(error.errors, team=team, operative=team.author)
                    turns = [*turns, AIMessage(raw), HumanMessage(repair)]
        return await self._blocked(state, last_error, rung)

    async def _ask(
        self, state: StageState, turns: list[BaseMessage], rung: int, candidate: int
    ) -> TaskResult | tuple[str, ResultInvalid | ModelFailure]:
        stage, team = self.stage, self.stage.team
        suffix = f"report/{state['attempt']}.{state['calls']}.{rung}"
        call = stage.call(state, "report", suffix, operative=team.author.id)
        raw = ""
        spoken: list[Entry] = []
        try:
            models = await stage.services.models_for(state["run_id"], team.id)
            reply: Reply = await models.complete(
                team.author.alias, turns, call=call, schema=wire_schema(stage.team_ids), candidate=candidate
            )
            spoken.append(called(call, reply))
            faults.point("report.called")
            raw = reply.text
            result = parse_result(raw, stage.team_ids)
            await stage.events(state, *spoken, self._received(state, result))
            return result
        except ResultInvalid as invalid:
            payload: Any = {"errors": invalid.errors, "raw": raw[:RAW_KEPT], "model": str(candidate)}
            invalid_entry = stage.entry(state, "report.invalid", payload, f"{suffix}/invalid")
            await stage.events(state, *spoken, invalid_entry)
            return raw, invalid
        except ModelFailure as failure:
            payload = {"errors": [str(failure)], "raw": failure.raw[:RAW_KEPT], "model": str(candidate)}
            await stage.event(state, "report.invalid", payload, f"{suffix}/invalid")
            return "", failure

    def _received(self, state: StageState, result: TaskResult) -> Entry:
        payload: JsonObject = {"status": result.status, "confidence": result.confidence}
        return self.stage.entry(
            state, "report.received", payload, f"report/{state['attempt']}.{state['calls']}"
        )

    async def _blocked(self, state: StageState, error: str, rungs: int) -> dict[str, Any]:
        blocked = TaskResult(
            reasoning="No reply could be read as a TaskResult.",
            deliverables=(),
            verified_facts=(),
            assumptions_made=(),
            blockers=(f"no usable report after {rungs} replies; the last: {error}",),
            clarification_needed=None,
            confidence=0,
            status="BLOCKED",
        )
        await self.stage.events(state, self._received(state, blocked))
        return {"result": blocked.model_dump(mode="json")}
