"""Every message to a model but the brief: front matter that says what it is, then Markdown.

The prose stands in `prompts/*.md`; here it is put together with facts.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence

from langchain_core.messages import SystemMessage
from langchain_core.tools import BaseTool

from core.json import JsonObject
from teams.actions import ParseProblem, fenced
from teams.contract import Objective
from teams.output import clean, shortened
from teams.replies import answer_schema, plan_schema, review_schema
from teams.team import Operative, Team
from teams.wording import (
    Places,
    conflict_text,
    front_matter,
    inline,
    kind,
    objective_text,
    page,
    prose,
    quote,
    quoted_items,
    schema_block,
)

MOST_DIFF_CHARS = 60_000
FACTORY = "factory"

# --- system messages ----------------------------------------------------------------------------------


def system(
    team: Team, operative: Operative, *, native: bool | None, outside: Sequence[BaseTool] = ()
) -> SystemMessage:
    """Who speaks: identity, instructions, ways of working, and how to act.

    `native`: tool calls (True), fenced blocks (False), or no actions at all (None: reviews and answers).
    `outside`: tools of MCP servers, which a model without native tools is told of here.
    """
    parts = [f"# {team.name}: {operative.name}", team.soul, operative.instructions, team.agents]
    if native is not None:
        parts += [team.tools_notes, prose("native" if native else "actions")]
    if outside and not native:
        parts += [prose("outside"), *_outside(outside)]
    return SystemMessage("\n\n".join(part.strip() for part in parts) + "\n")


def _outside(tools: Sequence[BaseTool]) -> list[str]:
    """What was said of a tool elsewhere is quoted, so that nothing in it can look like ours."""
    return [
        f"`call {tool.name}`\n{quote(tool.description)}\n{fenced(json.dumps(tool.args_schema), 'json')}"
        for tool in tools
    ]


def planner() -> SystemMessage:
    """Who plans."""
    return SystemMessage(prose("planner") + "\n")


def observation(results: Sequence[tuple[str, str, str]]) -> str:
    """What actions did: (tool, remark such as "exit 0" or "error", output), in their order."""
    sections = [
        f"## Observation {number}: {inline(tool)} ({inline(remark)})\n{fenced(output)}"
        for number, (tool, remark, output) in enumerate(results, start=1)
    ]
    return page({"call": "work", "observation": "true"}, *sections)


def packed(lines: Sequence[str]) -> str:
    """What stands for turns that left the conversation: what was done in them, the oldest first."""
    told = [quote(f"- {inline(line)}") for line in lines]
    return page({"call": "work", "packed": "true"}, "# Earlier turns", prose("packed"), "\n".join(told))


def findings(items: Iterable[str], *, team: Team, operative: Operative) -> str:
    """A reviewer's findings, for the author."""
    matter = front_matter("work", team, operative, findings="true")
    return page(matter, "# Findings", quoted_items(items), prose("findings"))


def feedback(
    reasons: Iterable[str], *, team: Team, operative: Operative, conflict: Places | None = None
) -> str:
    """The gate's reasons, for the author; `conflict`: the places where its work met another's."""
    matter = front_matter("work", team, operative, feedback="true")
    return page(matter, "# Feedback", quoted_items(reasons), conflict_text(conflict), prose("feedback"))


def problems(found: Iterable[ParseProblem], *, team: Team, operative: Operative) -> str:
    """Why blocks of the last reply were not executed."""
    matter = front_matter("work", team, operative, problems="true")
    return page(matter, "# Problems", quoted_items(str(item) for item in found), prose("problems"))


def quoted_answer(text: str) -> str:
    """An answer to a question that was not asked by a tool call."""
    return page({"call": "work", "answer": "true"}, "# Answer to your question", quote(text))


def report_request(*, team: Team, operative: Operative, schema: JsonObject) -> str:
    """The call for the task result."""
    return page(front_matter("report", team, operative), prose("report"), schema_block(schema))


def repair(errors: Iterable[str], *, team: Team, operative: Operative) -> str:
    """The call for the same JSON again, with what was wrong. It continues the conversation's last call."""
    matter = {"team": team.id, "operative": operative.id, "repair": "true"}
    return page(matter, "# Errors", quoted_items(errors), prose("repair"))


# --- the other conversations --------------------------------------------------------------------------


def review(
    objective: Objective,
    *,
    team: Team,
    operative: Operative,
    requirement: str,
    diff: str,
    most: int = MOST_DIFF_CHARS,
) -> str:
    """What a reviewer reads; of a long diff at most `most` characters."""
    return page(
        front_matter("review", team, operative, objective=objective.id),
        f"# Requirement\n{quote(requirement)}",
        objective_text(objective),
        f"## Change\n{fenced(shortened(clean(diff), most), 'diff')}",
        prose("review"),
        schema_block(review_schema()),
    )


def clarify(
    *,
    team: Team,
    operative: Operative,
    objective: str,
    asker: str,
    requirement: str,
    question: str,
    files: Mapping[str, str],
    team_ids: Iterable[str] = (),
) -> str:
    """Another team's question to this one. `files`: path and text of the asked team's own deliverables."""
    own = [f"### `{inline(path)}`\n{fenced(clean(text))}" for path, text in files.items()]
    return page(
        front_matter("clarify", team, operative, objective=objective, asker=asker),
        f"# Requirement\n{quote(requirement)}",
        f"# Question\n{quote(question)}",
        "## Your files",
        *(own or ["none yet"]),
        prose("clarify"),
        schema_block(answer_schema(team_ids or team.asks)),
    )


def answer_to_asker(text: str, *, team: Team, operative: Operative) -> str:
    """What came of a question that the asked team had to pass on."""
    return page(
        front_matter("clarify", team, operative, answer="true"), "# Answer to your question", quote(text)
    )


def remember(*, team: Team, operative: Operative, objective: str) -> str:
    """The front matter of the call for what is worth keeping; what follows it is mem0's."""
    return page(front_matter("remember", team, operative, objective=objective))


def plan(teams: Iterable[Team], *, requirement: str, objective: str, change: bool = False) -> str:
    """The teams of the pipeline, for the planner; for a change of what exists, those it seems to concern."""
    return page(
        {"call": "plan", "team": FACTORY, "operative": "planner", "objective": objective} | kind(change),
        f"# Requirement\n{quote(requirement)}",
        "\n".join(["# Teams", *(_plan_line(team) for team in teams)]),
        prose("change_plan") if change else "",
        prose("plan"),
        schema_block(plan_schema()),
    )


def _plan_line(team: Team) -> str:
    if team.required:
        return f"- {team.id}: {inline(team.purpose)} (required)"
    notes = [f"skip when: {inline(team.skip_when)}"] if team.skip_when.strip() else []
    if team.skip_unless:
        notes.append(f"unless: {', '.join(inline(word) for word in team.skip_unless)}")
    return f"- {team.id}: {inline(team.purpose)}" + (f" ({'; '.join(notes)})" if notes else "")


def repair_plan(errors: Iterable[str]) -> str:
    """The call for the plan again, with what was wrong."""
    matter = {"team": FACTORY, "operative": "planner", "repair": "true"}
    return page(matter, "# Errors", quoted_items(errors), prose("repair"))
