"""`release`: what a person has reviewed leaves the factory.

Without a remote the run's branch becomes part of main, with a tag. With one, main is the remote's to move:
past the deploy gate the branch is pushed there and a pull request opened, and here it is only tagged.
"""

# pyright: reportUnknownMemberType=false
# (LangGraph's own StateGraph has unknown types in its signatures.)

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast

from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph

from core import faults
from core.errors import BadInput, FactoryError
from core.json import JsonObject, canonical
from governance.policy import ORDER, Risk
from governance.risk import assess
from graph import people, pull_request
from graph.again import again
from graph.lifecycle import move
from graph.nodes import choice, node
from graph.services import Services
from graph.state import ReleaseTarget, RunState
from workspace import forges, project_settings
from workspace.errors import MainMoved, TagTaken
from workspace.remote import Remote

_MOST_STAT_LINES = 30


class BaseIsBranch(BadInput):
    """A run is never pushed to the branch that its pull request is for."""


@dataclass(frozen=True)
class Release:
    """The nodes of the release."""

    services: Services

    async def propose(self, state: RunState) -> dict[str, Any]:
        """The deploy gate: put before a person what would go where. Nothing to ask without a remote."""
        services, run_id = self.services, state["run_id"]
        if unseen := await self._unseen(state):
            return unseen
        remote = await self._remote(run_id)
        if remote is None:
            return {"target": None, "question": people.NOBODY_ASKED}
        base = remote.base
        if not base:
            async with self._telling(run_id, "base"), forges.connect(remote, remote.token()) as forge:
                base = await forges.default_branch(forge)
        target = await self._target(state, remote, base)
        if target["branch"] == base:
            raise BaseIsBranch(
                f"The run's branch would be {base} itself",
                untouched="Nothing was pushed",
                todo="Set branch_prefix in project.toml",
            )
        risk = self._risk(state["requirement"])
        digest = hashlib.sha256(canonical(cast(JsonObject, dict(target))).encode()).hexdigest()[:16]
        if not services.policy.asks(risk):
            payload: JsonObject = {**cast(JsonObject, dict(target)), "risk": risk}
            await services.events.append(
                run_id, "release.permitted", payload, key=f"release/{digest}{again(state)}/permitted"
            )
            return {"target": target, "question": people.NOBODY_ASKED}
        run = await services.run(run_id)
        repository = await services.repository(run_id)
        stat = await repository.diff(run.base_commit or target["commit"], target["commit"], stat=True)
        lines = stat.strip().splitlines()
        shown = lines if len(lines) <= _MOST_STAT_LINES else [*lines[: _MOST_STAT_LINES - 1], "…", lines[-1]]
        approval = await services.approvals.request(
            run_id,
            kind="release",
            key=f"release/{digest}{again(state)}",
            risk=risk,
            title=f"Release: {state.get('title') or 'the result'}",
            question=(
                f"Push the branch {target['branch']} to {remote.url} and open a pull request into {base} "
                f"({remote.forge}, {remote.path})?\n" + "\n".join(shown)
            ),
            allowed=("approve", "reject"),
            detail={**cast(JsonObject, dict(target)), "stat": stat},
        )
        return {"target": target, "question": people.question(approval)}

    async def heard(self, state: RunState) -> dict[str, Any]:
        """Go on, or end as rejected, with nothing pushed."""
        services = self.services
        answer = await people.settle(services, state)
        if answer is None:
            return {}
        if answer["decision"] == "approve":
            return {"question": people.NOBODY_ASKED}
        return await people.turn_down(
            services,
            state,
            answer,
            key=f"release/rejected{again(state)}",
            late="nobody released it in time",
            refused="its release was refused",
        )

    async def push(self, state: RunState) -> dict[str, Any]:
        """Bring the run's branch to the remote. What was approved and nothing else: else ask again."""
        services, run_id, target = self.services, state["run_id"], state.get("target")
        assert target
        remote = await self._remote(run_id)
        if remote is None or await self._target(state, remote, remote.base or target["base"]) != target:
            return {"target": None}
        repository = await services.repository(run_id)
        async with self._telling(run_id, "push"):
            await repository.push(run_id, remote, remote.token(), target["branch"])
        faults.point("release.pushed")
        payload: JsonObject = {name: target[name] for name in ("remote", "branch", "commit")}
        await services.events.append(run_id, "release.pushed", payload, key=f"release/pushed{again(state)}")
        return {}

    async def request(self, state: RunState) -> dict[str, Any]:
        """Open the pull request, or find the one that an earlier passage opened."""
        services, run_id, target = self.services, state["run_id"], state.get("target")
        assert target
        remote = await self._remote(run_id)
        if remote is None or await self._target(state, remote, remote.base or target["base"]) != target:
            return {"target": None}
        draft = forges.Draft(
            branch=target["branch"],
            base=target["base"],
            title=pull_request.title(state.get("title") or "", run_id),
            body=pull_request.body(
                await services.events.read(run_id),
                await services.events.texts(run_id),
                run_id,
                target["commit"],
            ),
        )
        async with self._telling(run_id, "request"), forges.connect(remote, remote.token()) as forge:
            opened = await forges.request(forge, draft)
        faults.point("release.requested")
        await services.events.append(
            run_id,
            "release.requested",
            {"url": opened.url, "number": opened.number, "branch": draft.branch, "base": draft.base},
            key=f"release/requested{again(state)}",
        )
        return {}

    async def release(self, state: RunState) -> dict[str, Any]:
        """Merge or only tag, record. A second time it finds its own work and changes nothing."""
        services, run_id = self.services, state["run_id"]
        if unseen := await self._unseen(state):
            return unseen
        repository = await services.repository(run_id)
        tag = f"factory-{run_id}{again(state)}"
        title = state.get("title") or "Release"
        try:
            if state.get("target"):
                commit = await repository.tag(run_id, tag=tag, message=title)
            else:
                commit = await repository.release(run_id, tag=tag, message=title)
        except MainMoved:
            return {"behind": True}
        except TagTaken as refused:
            # Trying again would not help: the run ends, and its work stays on its branch.
            reason = f"not released: {refused} The work is on the branch factory/{run_id}."
            await move(
                services.db,
                services.events,
                run_id,
                "failed",
                key=f"release/failed{again(state)}",
                failure=reason,
            )
            return {"halted": f"failed: {reason}"}
        faults.point("release.merged")
        await services.runs.set_result(run_id, tag, commit)
        await services.events.append(
            run_id,
            "release.done",
            {"tag": tag, "commit": commit, "repository": str(repository.path)},
            key=f"release/done{again(state)}",
        )
        await move(services.db, services.events, run_id, "completed", key=f"release/completed{again(state)}")
        return {"behind": False}

    async def _unseen(self, state: RunState) -> dict[str, Any]:
        """The update that sends the run back where its branch has moved since its check; else nothing."""
        services, run_id = self.services, state["run_id"]
        repository = await services.repository(run_id)
        head = await repository.run_head(run_id)
        checked = state.get("checked") or head
        if await repository.same_product(checked, head):
            return {}
        number = state.get("looks", 0) + 1
        payload: JsonObject = {"checked": checked, "head": head}
        await services.events.append(
            run_id, "release.unseen", payload, key=f"release/unseen/{number}{again(state)}"
        )
        return {
            "unseen": True,
            "looks": number,
            "review_stands": False,
            "target": None,
            "question": people.NOBODY_ASKED,
        }

    def _risk(self, requirement: str) -> Risk:
        """The graver of what the policy says of a release and of this requirement."""
        policy = self.services.policy
        both: tuple[Risk, ...] = (policy.release_risk, assess(requirement, policy).risk)
        return max(both, key=ORDER.index)

    async def _remote(self, run_id: str) -> Remote | None:
        """The remote as the operator's file says it now. What the repository itself says does not count."""
        project = (await self.services.repository(run_id)).name
        home = self.services.settings.home
        return (await project_settings.operators(home, project)).remote

    async def _target(self, state: RunState, remote: Remote, base: str) -> ReleaseTarget:
        run_id = state["run_id"]
        return {
            "remote": remote.url,
            "forge": remote.forge,
            "api": remote.endpoint,
            "repository": remote.path,
            # What was pushed before a rollback stays as it is: it is never pushed over.
            "branch": remote.branch(f"{run_id}{again(state)}"),
            "base": base,
            "commit": await (await self.services.repository(run_id)).run_head(run_id),
        }

    @asynccontextmanager
    async def _telling(self, run_id: str, step: str) -> AsyncGenerator[None]:
        """Write down what went wrong outside; the run stays where it is and can be resumed."""
        try:
            yield
        except FactoryError as failure:
            payload: JsonObject = {"step": step, "code": failure.code, "error": str(failure)}
            await self.services.events.append(run_id, "release.failed", payload)
            raise


def build_release(services: Services) -> CompiledStateGraph[Any, Any, Any, Any]:
    """Compile the subgraph."""
    nodes = Release(services)
    graph: StateGraph[Any, Any, Any, Any] = StateGraph(RunState)
    graph.add_node("propose", node("propose", nodes.propose))
    graph.add_node("ask_person", node("ask_person", people.ask))
    graph.add_node("heard", node("heard", nodes.heard))
    graph.add_node("push", node("push", nodes.push))
    graph.add_node("request", node("request", nodes.request))
    graph.add_node("release", node("release", nodes.release))
    graph.add_edge(START, "propose")
    graph.add_conditional_edges("propose", choice(_onward), ["ask_person", "push", "release", END])
    graph.add_edge("ask_person", "heard")
    graph.add_conditional_edges("heard", choice(_onward), ["ask_person", "push", END])
    graph.add_conditional_edges("push", choice(_approved("request")), ["request", "propose"])
    graph.add_conditional_edges("request", choice(_approved("release")), ["release", "propose"])
    graph.add_edge("release", END)
    return graph.compile(name="release")


def _onward(state: RunState) -> str:
    if state.get("halted") or state.get("unseen"):
        return END
    if people.waits(state):
        return "ask_person"
    return "push" if state.get("target") else "release"


def _approved(onward: str) -> Any:
    def route(state: RunState) -> str:
        return onward if state.get("target") else "propose"

    return route
