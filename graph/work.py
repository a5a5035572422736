"""The loop of a stage: brief, work ⇄ act, peer review.

One model call or one batch of actions a node, so that a crash costs no more than that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from typing import Any, cast

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolCall, ToolMessage
from langchain_core.tools import BaseTool
from langgraph.config import get_config
from langgraph.prebuilt import ToolNode

from core import faults
from core.errors import FactoryError
from core.json import JsonObject, is_object
from graph import loops, packing, people, recollecting, touched
from graph.leasing import noting, tell_others
from graph.mailing import Postbox, open_mail
from graph.recollecting import NOTHING as NOTHING_RECALLED
from graph.repairing import laid_out
from graph.saying import overheard
from graph.stage_context import StageContext, called
from graph.state import ClarificationCall, StageState, TraceEntry
from graph.supplies import NOTHING, Supply
from models.calls import Call, Reply
from models.errors import ModelFailure
from teams import briefing, prompts
from teams.contract import MAX_ITEM_CHARS, ResultInvalid
from teams.history import lasting, summarised
from teams.operative import Thought, ask_review, think
from teams.output import shown
from teams.reads import Reads
from teams.tools import Artifact, ToolContext, stage_tools
from workspace.errors import WorkspaceError
from workspace.mail.message import FOLDER
from workspace.stage import StageTree

CLARIFY = "request_clarification"


@dataclass(frozen=True)
class Work:
    """The nodes in which a team does its work."""

    stage: StageContext

    async def brief(self, state: StageState) -> dict[str, Any]:
        """Open the worktree and pack the context: the objective anchor first and whole."""
        stage, team = self.stage, self.stage.team
        name = stage.key(state)
        repair = state.get("repair")
        if repair:
            base = repair["base"]
        else:
            # Not the branch's head: a stage of the same wave may have been merged already, or not yet.
            earlier = [outcome["commit"] for outcome in state["results"].values() if outcome["commit"]]
            earlier.append(state.get("taken_as") or "")
            base = await (await stage.repository(state)).newest(state["run_id"], earlier)
        tree = await stage.services.tree(state["run_id"], name, base=base)
        began: JsonObject = {"round": state["round"], "name": team.name}
        await stage.event(state, "repair.started" if repair else "stage.started", began, "started")
        await tell_others(stage, state)
        faults.point("brief.opened")
        recollection = NOTHING_RECALLED if repair else await recollecting.for_brief(stage, state)
        faults.point("brief.recalled")
        files = await (await stage.repository(state)).files(tree.base)
        change = state.get("change")
        text = briefing.brief(
            stage.objective(state),
            team=stage.team_in(state),
            operative=team.author,
            requirement=state["requirement"],
            # Letters come with every run, and read_mail has them: they would take the product's room.
            files=[path for path in files if not path.startswith(f"{FOLDER}/")],
            comment=state.get("comment", ""),
            history=change["history"] if change and not repair else None,
            named=self._named(state, files) if change and not repair else (),
            conflict=await laid_out(stage, state, repair["base"], repair) if repair else None,
            rules=recollection.rules,
            memories=recollection.lines,
            forgot=recollection.note,
            learned=recollection.page,
            mail=() if repair else await open_mail(await stage.repository(state), tree.base, files, team.id),
            rooms=await packing.rooms(stage, state),
        )
        return {
            "messages": [HumanMessage(text, id=f"{name}/brief")],
            "tree": name,
            "head": tree.base,
            "worked": 0.0,
            "calls": 0,
            "iterations": 0,
            "attempt": 1,
            "reviews": 0,
            "clarifications": 0,
            "escalations": 0,
            "rebases": 0,
            "passages": 0,
            "conflicts": [],
            "marked": repair["files"] if repair else [],
            "marks": [repair["standing"], repair["yours"]] if repair else [],
            "trace": [],
            "pending": [],
            "unsupplied": bool((await self._supply(state, tree)).open),
            "exhausted": "",
            "result": {},
            "verdict": "",
            "reasons": [],
            "question": people.NOBODY_ASKED,
        }

    async def work(self, state: StageState) -> dict[str, Any]:
        """One model call: what does the operative do next?"""
        stage, team = self.stage, self.stage.team
        number = state["calls"] + 1
        limit = team.limits.iterations
        exhausted = stage.overtime(state)
        if not exhausted and state["iterations"] >= limit:
            exhausted = f"iterations: {state['iterations']} of {limit}"
        if exhausted:
            return {"exhausted": exhausted}
        try:
            call, thought, packed = await self._think(state, number)
        except ModelFailure as failure:
            # A failed call counts, so that the next one has a name of its own in the log.
            return {**blocked_by(failure), "calls": number}
        await stage.events(state, called(call, thought.reply))
        faults.point("work.called")
        thought.message.id = f"{call.key}/reply"
        messages: list[Any] = [*packed, thought.message]
        if thought.problems:
            text = prompts.problems(thought.problems, team=team, operative=team.author)
            messages.append(HumanMessage(text, id=f"{call.key}/problems"))
        return {"messages": messages, "calls": number, "iterations": state["iterations"] + 1, "result": {}}

    async def _think(self, state: StageState, number: int) -> tuple[Call, Thought, tuple[BaseMessage, ...]]:
        """The reply of the first model of the chain that gives one, and what it makes of the conversation.

        Raises the last one's failure.
        """
        stage, team = self.stage, self.stage.team
        models, alias = await stage.services.models_for(state["run_id"], team.id), team.author.alias
        tools = await self._tools(state, await self._context(state, await stage.tree(state)))
        last = models.candidates(alias) - 1
        for candidate in range(last + 1):
            suffix = f"work/{number}" + (f".{candidate}" if candidate else "")
            call = stage.call(state, "work", suffix, operative=team.author.id)
            try:
                history = await packing.fitted(stage, state, models, candidate, tools=tools)
                async with overheard(stage.services.db, call):
                    thought = await think(
                        models,
                        alias,
                        team,
                        team.author,
                        history.messages,
                        tools,
                        call=call,
                        candidate=candidate,
                    )
                return call, thought, history.update
            except ModelFailure as failure:
                await stage.failed(state, call, failure)
                if candidate == last:
                    raise
        raise AssertionError("a chain has at least one model")

    async def act(self, state: StageState) -> dict[str, Any]:
        """Run the actions of the last reply, in their order, and snapshot what they left."""
        stage, team = self.stage, self.stage.team
        reply = last_reply(state)
        tree = await stage.tree(state)
        supply, context = NOTHING, await self._context(state, tree)
        node = ToolNode(await self._tools(state, context), handle_tool_errors=True)
        observations: list[ToolMessage] = []
        pending: list[ClarificationCall] = []
        trace: list[TraceEntry] = []
        for index, call in enumerate(reply.tool_calls):
            if call["name"] == CLARIFY and CLARIFY in team.tools:
                pending.append(_clarification(call))
                continue
            suffix = f"act/{state['calls']}.{index}"
            await stage.event(
                state, "action.called", {"tool": call["name"], "summary": summarised(call)}, suffix
            )
            if call["name"] == "bash" and (now := await self._supply(state, tree)) != supply:
                inside = stage.services.sandbox.with_libraries(now.libraries)
                tools = await self._tools(state, replace(context, sandbox=inside))
                supply, node = now, ToolNode(tools, handle_tool_errors=True)
            observation = await _run(node, call)
            observations.append(observation)
            for number, (kind, contact) in enumerate(_contacts(observation)):
                await stage.event(state, kind, contact, f"{suffix}/egress/{number}")
            text, ok = str(observation.content), _succeeded(observation)
            trace.append(loops.entry(call["name"], call["args"], text, failed=not ok))
            await stage.event(
                state,
                "action.observed",
                {"tool": call["name"], "ok": ok, "summary": _first_line(text)},
                f"{suffix}/seen",
            )
        faults.point("act.acted")
        update = await self._snapshot(state, tree, observations)
        faults.point("act.snapshot")
        return {
            **update,
            "pending": pending,
            "unsupplied": bool((await self._supply(state, tree)).open),
            "trace": loops.remember(state["trace"], trace),
        }

    async def peer_review(self, state: StageState) -> dict[str, Any]:
        """The reviewers read the change, each with own instructions; findings go back to the author."""
        stage, team = self.stage, self.stage.team
        tree = await stage.tree(state)
        repository = await stage.repository(state)
        diff = await repository.diff(tree.base, state["head"])
        number = state["reviews"] + 1
        findings: list[str] = []

        async def heard(call: Call, reply: Reply) -> None:
            await stage.events(state, called(call, reply))

        for reviewer in (operative for operative in team.operatives if operative.role == "reviewer"):
            suffix = f"review/{state['attempt']}.{number}/{reviewer.id}"
            call = stage.call(state, "review", suffix, operative=reviewer.id)
            try:
                review = await ask_review(
                    await stage.services.models_for(state["run_id"], team.id),
                    stage.objective(state),
                    team=team,
                    operative=reviewer,
                    requirement=state["requirement"],
                    diff=diff,
                    call=call,
                    heard=heard,
                    failed=partial(stage.failed, state),
                )
            except (ModelFailure, ResultInvalid) as failure:
                # No review is no approval: the gate rules on evidence, and the log says what is missing.
                await stage.event(
                    state, "review.given", {"verdict": "unusable", "findings": [str(failure)]}, suffix
                )
                continue
            payload: JsonObject = {
                "verdict": review.verdict,
                "findings": list(review.findings),
                "by": reviewer.name,
            }
            await stage.event(state, "review.given", payload, suffix)
            if review.verdict == "revise":
                findings += review.findings
        if not findings:
            return {"reviews": number, "reasons": []}
        text = prompts.findings(findings, team=team, operative=team.author)
        key = f"{stage.key(state)}/findings/{state['attempt']}.{number}"
        return {"reviews": number, "reasons": findings, "messages": [lasting(text, key)]}

    def _named(self, state: StageState, files: Sequence[str]) -> list[str]:
        """The files that the change names and that are this team's: each belongs to one of those at work."""
        asked = f"{state['requirement']}\n{state.get('comment', '')}"
        at_work = [team for team in self.stage.team_ids if team not in state["skipped"]]
        teams = [self.stage.services.registry.team(team) for team in at_work]
        named = touched.named_files(asked, files)
        return [path for path in named if touched.owner(path, teams) == self.stage.team]

    async def _supply(self, state: StageState, tree: StageTree) -> Supply:
        return await self.stage.services.supply(state["run_id"], tree)

    async def _tools(self, state: StageState, context: ToolContext) -> list[BaseTool]:
        """What the team's file grants, and what is granted to it of servers outside."""
        offer = await self.stage.services.tools_from_outside(self.stage.team, state["run_id"])
        for problem in offer.problems:
            suffix = f"outside/{sha256(problem.encode()).hexdigest()[:16]}"
            await self.stage.event(state, "tool.missing", {"reason": problem}, suffix)
        return [*stage_tools(self.stage.team_in(state), context), *offer.tools]

    async def _context(self, state: StageState, tree: StageTree) -> ToolContext:
        stage, team = self.stage, self.stage.team
        mailing = await stage.services.mail(state["run_id"])
        key = f"{stage.key(state)}/mail/{state['calls']}"
        return ToolContext(
            tree=tree,
            sandbox=stage.services.sandbox,
            team=stage.team_in(state),
            reads=Reads(state["messages"]),
            wrote=noting(stage, state),
            mail=Postbox(mailing, team.id, stage.team_ids, key),
            memory=recollecting.Asking(stage, state),
        )

    async def _snapshot(
        self, state: StageState, tree: StageTree, observations: Sequence[ToolMessage]
    ) -> dict[str, Any]:
        try:
            head = await tree.snapshot(f"{self.stage.key(state)}: turn {state['calls']}")
        except WorkspaceError as refused:
            # What cannot be recorded is taken back whole, and the team is told why.
            await tree.restore(state["head"])
            text = f"error: the changes of this turn were taken back. {refused}"
            await self.stage.event(
                state, "turn.taken_back", {"reason": str(refused)}, f"act/{state['calls']}/taken_back"
            )
            return {
                "messages": [
                    ToolMessage(text, tool_call_id=seen.tool_call_id, name=seen.name) for seen in observations
                ],
                "head": state["head"],
            }
        return {"messages": list(observations), "head": head}


def last_reply(state: StageState) -> AIMessage:
    """The operative's last reply; an empty one before the first."""
    return next((m for m in reversed(state["messages"]) if isinstance(m, AIMessage)), AIMessage(""))


def blocked_by(failure: FactoryError) -> dict[str, Any]:
    """A stage whose model does not answer is blocked, not done: the gate sends it to a person."""
    return {"exhausted": f"model: {failure}"}


def after_work(state: StageState) -> str:
    """Where a reply leads: to its actions, back to the model with what was malformed, or to the review."""
    if state.get("exhausted"):
        return "gate"
    last = state["messages"][-1]
    if isinstance(last, AIMessage):
        return "act" if last.tool_calls else "peer_review"
    return "act" if last_reply(state).tool_calls else "work"


async def _run(node: ToolNode, call: ToolCall) -> ToolMessage:
    # One call at a time: ToolNode runs the calls of a message side by side, but a test must see the file
    # that the action before it wrote.
    result = await node.ainvoke({"messages": [AIMessage("", tool_calls=[call])]}, get_config())
    message = result["messages"][-1]
    assert isinstance(message, ToolMessage)
    return message


def _succeeded(message: ToolMessage) -> bool:
    artifact: Any = message.artifact
    if is_object(artifact) and "ok" in artifact:
        return bool(artifact["ok"])
    return message.status != "error"


def _contacts(message: ToolMessage) -> list[tuple[str, JsonObject]]:
    """The hosts that a command wanted to reach, as kinds and payloads of events."""
    artifact: Any = message.artifact
    contacts = cast(Artifact, artifact).get("contacts", []) if is_object(artifact) else []
    return [("egress.refused" if contact["why"] else "egress.allowed", contact) for contact in contacts]


def _clarification(call: ToolCall) -> ClarificationCall:
    return {
        "call_id": call["id"] or "",
        "target": shown(str(call["args"].get("target_team", "")).strip(), _LONGEST_NAME),
        "question": shown(str(call["args"].get("question", "")).strip(), MAX_ITEM_CHARS),
    }


_LONGEST_NAME = 100


def _first_line(text: str, most: int = 160) -> str:
    line = text.strip().partition("\n")[0]
    return line if len(line) <= most else line[: most - 1] + "…"
