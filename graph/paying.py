"""A budget is reached: the run pauses until a person extends it, or stops the run in order.

The node that could not pay asks, a node of its own waits, and the answer leads back to the node that asked.
Stages side by side that meet the same end of the same budget ask one question together.
"""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal
from functools import wraps
from typing import Any, Final

from core.errors import BadInput
from core.json import JsonObject
from governance.approvals import Approval
from graph import people
from graph.again import again
from graph.nodes import Node
from graph.runs import Run
from graph.services import Services
from models.spending import caps
from models.spending.amount import shown
from models.spending.guard import BudgetReached, Full
from workspace.project_settings import ProjectSettingsInvalid, operators, operators_file
from workspace.projects import is_project_name

BUDGET: Final = "budget"
"""The kind of such a question."""

_ROOM: Final = Decimal("1.2")
"""Of what the next call needs, in a proposed extension: not to ask again at once."""


class BudgetTooLarge(BadInput):
    """A run may not be given more than the operator set."""


async def within(services: Services, project: str, amount: Decimal) -> None:
    """Raise BudgetTooLarge where the project's settings give a run less than this."""
    if not is_project_name(project):
        return  # which is refused where the project is opened
    told = (await operators(services.settings.home, project)).budget.run
    if told is not None and amount > told:
        raise BudgetTooLarge(
            f"A run of {project} may spend {shown(told)} US dollars, not {shown(amount)}",
            untouched="Nothing was started",
            todo="Give it less, or none; a person can extend it when it is used up",
        )


async def exhausted(services: Services, project: str) -> str:
    """Which budget of a project or of the day leaves a new run no room, in words; empty where none does."""
    told = (await operators(services.settings.home, project)).budget.project
    for one in await caps.of_run(services.db, "", project):
        cap = one.cap_usd
        if one.scope == "project":
            if told is None:
                continue
            cap = told + one.extended_usd  # the row still says what was set when the last run began
        if one.scope in {"project", "day"} and one.spent_usd >= caps.ASK_FROM * cap:
            whose = project if one.scope == "project" else "the day"
            return f"{shown(one.spent_usd)} of the {shown(cap)} US dollars of {whose} are spent"
    return ""


async def agree(services: Services, run: Run) -> None:
    """Make the budgets of a run what its options, the operator's files and the models file say now.

    Only for the one driver of the run: what an earlier one had set aside counts as spent from here on.
    """
    told = (await operators(services.settings.home, run.project)).budget
    if unknown := sorted(set(told.teams) - set(services.registry.ids)):
        raise ProjectSettingsInvalid(
            f"{operators_file(services.settings.home, run.project)}: budget.teams: "
            f"there is no team {', '.join(unknown)}",
            untouched="The run was not continued",
            todo="See `factory teams`",
        )
    agreed: dict[tuple[caps.Scope, str], Decimal | None] = {
        ("run", run.id): told.run if run.budget_usd is None else run.budget_usd,
        ("project", run.project): told.project,
    }
    for team in services.registry.ids:
        agreed["stage", f"{run.id}/{team}"] = told.stage
        agreed["team", f"{run.project}/{team}"] = told.teams.get(team)
    for account, amount in services.models.chains.account_budgets().items():
        agreed["account", account] = amount
    await caps.agree_all(services.db, agreed)
    await caps.lapse(services.db, run.id)


def paid(services: Services, name: str, function: Node[Any]) -> Node[Any]:
    """The node `name`, which calls models: where a budget has no room it asks a person, and is run again."""

    @wraps(function)
    async def bounded(state: Any) -> dict[str, Any]:
        try:
            return await function(state)
        except BudgetReached as reached:
            approval = await _ask(services, state, reached.full)
            # What the node did before is paid; what it does once more is a new call under a new name.
            paused = state.get("pauses", 0) + 1
            return {"question": people.question(approval), "refused_at": name, "pauses": paused}

    return bounded


async def heard(services: Services, state: Any) -> tuple[bool, str] | None:
    """Apply a person's decision: (whether the run may go on, who decided and what).

    None where the answer was none that the question allows: it stays open.
    """
    answer = await people.settle(services, state)
    if answer is None:
        return None
    approval = await services.approvals.get(state["question"]["approval_id"])
    title = str(approval.detail["title"])
    if answer["decision"] not in {"approve", "respond"}:
        by = "nobody answered in time" if answer["decision"] == "expired" else f"stopped by {answer['by']}"
        because = f" ({answer['text']})" if answer["decision"] == "reject" and answer["text"] else ""
        return False, f"{title} is used up: {by}{because}"
    await _extend(services, approval, Decimal(answer["text"]), answer["by"])
    return True, ""


async def _extend(services: Services, approval: Approval, amount: Decimal, by: str) -> None:
    budget = str(approval.detail["budget"])
    await caps.extend(services.db, approval.id, budget, amount)
    payload: JsonObject = {"budget": budget, "amount_usd": str(amount), "by": by}
    await services.events.append(
        approval.run_id, "budget.extended", payload, key=f"budget/extended/{approval.id}"
    )


async def _ask(services: Services, state: Any, full: Full) -> Approval:
    proposed = proposal(full)
    detail: JsonObject = {
        "budget": full.id,
        "title": full.title,
        "cap_usd": str(full.cap),
        "spent_usd": str(full.spent),
        "reserved_usd": str(full.reserved),
        "next_call_usd": str(full.wanted),
    }
    return await services.approvals.request(
        state["run_id"],
        kind=BUDGET,
        key=f"budget/{full.id}/{full.extensions}{again(state)}",
        risk="MEDIUM",
        title=f"{full.title} is nearly used up"[:200],
        question=(
            f"${shown(full.spent)} of ${shown(full.cap)} is spent, and the next call may cost up to "
            f"${shown(full.wanted)} ({full.id}). Nothing more is sent until you decide:\n"
            f"respond AMOUNT: extend it by so many US dollars, as in {shown(proposed)}\n"
            f"approve: extend it by ${shown(proposed)}\n"
            "reject: the run stops; what was made stays on its branch"
        ),
        allowed=("respond", "approve", "reject"),
        default_answer=shown(proposed),
        detail=detail,
    )


def proposal(full: Full) -> Decimal:
    """As much again, or what the next call needs if that is more; in whole cents."""
    needed = (full.spent + full.wanted) / caps.ASK_FROM * _ROOM - full.cap
    amount = max(full.cap - full.spent, full.cap, needed)
    return amount.quantize(Decimal("0.01"), ROUND_CEILING)
