"""Every message to a model, in one wire format: front matter that says what it is, then Markdown.

The prose stands in `prompts/*.md`; here it is put together with facts. Text that a person or a model wrote is
always quoted line by line with `> `, and file content fenced with a fence longer than any inside it, so that
nothing in it can end its quote and speak as the factory.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources

from langchain_core.messages import SystemMessage
from langchain_core.tools import BaseTool

from core.json import JsonObject
from memory.sections import Section, fitted, size
from memory.telling import Told
from models.calls import CallKind
from teams.actions import ParseProblem, fenced
from teams.contract import Objective, Upstream
from teams.output import clean, shortened
from teams.replies import answer_schema, parse_answer, parse_plan, plan_schema, review_schema
from teams.team import Operative, Team

__all__ = [
    "Places",
    "answer_schema",
    "answer_to_asker",
    "brief",
    "clarify",
    "feedback",
    "fenced",
    "findings",
    "observation",
    "packed",
    "parse_answer",
    "parse_plan",
    "plan",
    "plan_schema",
    "planner",
    "problems",
    "quote",
    "quoted_answer",
    "recalled",
    "remember",
    "repair",
    "repair_plan",
    "report_request",
    "review",
    "system",
]

MOST_FILES = 300
MOST_DIFF_CHARS = 60_000
MOST_CONFLICT_CHARS = 20_000

Places = Mapping[str, Sequence[str]]
"""Of each file of a conflict, the places to decide: whole lines, from marker to marker."""
FACTORY = "factory"


# Read with the module, since a prompt is written inside the event loop.
_PROSE = {
    file.name.removesuffix(".md"): file.read_text(encoding="utf-8").strip()
    for file in resources.files("teams").joinpath("prompts").iterdir()
    if file.name.endswith(".md")
}


def _prose(name: str) -> str:
    return _PROSE[name]


def quote(text: str) -> str:
    """Each line behind `> `. Every kind of line end counts, so that none hides a line from the quote."""
    return "\n".join(f"> {line}".rstrip() for line in clean(text).splitlines()) or ">"


def _inline(text: str) -> str:
    """A text from outside on one line."""
    return " ".join(clean(text).split())


def _bullets(items: Iterable[str]) -> list[str]:
    return [f"- {_inline(item)}" for item in items] or ["- none"]


def _paths(paths: Sequence[str]) -> list[str]:
    listed = [f"- `{_inline(path)}`" for path in paths[:MOST_FILES]]
    if len(paths) > MOST_FILES:
        listed.append(f"- … and {len(paths) - MOST_FILES} more; use list_files")
    return listed or ["- none"]


def _page(matter: Mapping[str, str], *parts: str) -> str:
    front = "\n".join(f"{key}: {_inline(value)}" for key, value in matter.items())
    return f"---\n{front}\n---\n" + "\n\n".join(part for part in parts if part) + "\n"


def _matter(call: CallKind, team: Team, operative: Operative, **more: str) -> dict[str, str]:
    return {"call": call, "team": team.id, "operative": operative.id, **more}


def _schema(schema: JsonObject) -> str:
    # In the order of the schema, never sorted: the status is to be written after the reasoning.
    return fenced(json.dumps(schema, ensure_ascii=False, indent=1), "json")


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
        parts += [team.tools_notes, _prose("native" if native else "actions")]
    if outside and not native:
        parts += [_prose("outside"), *_outside(outside)]
    return SystemMessage("\n\n".join(part.strip() for part in parts) + "\n")


def _outside(tools: Sequence[BaseTool]) -> list[str]:
    """What was said of a tool elsewhere is quoted, so that nothing in it can look like ours."""
    return [
        f"`call {tool.name}`\n{quote(tool.description)}\n{fenced(json.dumps(tool.args_schema), 'json')}"
        for tool in tools
    ]


def planner() -> SystemMessage:
    """Who plans."""
    return SystemMessage(_prose("planner") + "\n")


# --- the work conversation ----------------------------------------------------------------------------


def brief(
    objective: Objective,
    *,
    team: Team,
    operative: Operative,
    requirement: str,
    files: Sequence[str] = (),
    comment: str = "",
    history: Sequence[str] | None = None,
    named: Sequence[str] = (),
    conflict: Places | None = None,
    rules: Sequence[Told] = (),
    memories: Sequence[Told] = (),
    forgot: str = "",
    learned: Sequence[str] = (),
    rooms: Sequence[int] = (),
) -> str:
    """The first message of a stage: the objective anchor, whole, and what fits beside it.

    `files` are the paths in the worktree; `comment` is what a person's review asked for, from round 2 on.
    `history` makes it a change of what exists: the requirements it came about by, the oldest first. `named`:
    the files of this team that the change names. `conflict`: the places that a repair has to decide.
    `rules` are what a person has told the team to follow always: they stand at both ends. `memories` are
    recalled; `forgot` says what of memory was missing. `learned` are lines of the team's mental model.
    `rooms`: bytes that a brief may take with each model that may be asked; the least counts in which the
    anchor fits. What is left out beside the anchor is said, and can be had with tools.
    """
    parts: list[str | Section] = [
        _rules(rules),
        f"# Requirement\n{quote(requirement)}",
        *(_change(history, named) if history is not None else ()),
        _objective(objective),
        "\n".join(["## You may write", *_paths(team.paths)]),
        Section(_upstream(objective.inputs), "read the files, or ask the team"),
        Section(_learned(learned), "use recall_memory"),
        Section(recalled(memories, forgot), "use recall_memory"),
        Section("\n".join(["## Files in the worktree", *_paths(files)]), "use list_files"),
        f"## Review comment\n{quote(comment)}" if comment.strip() else "",
        _conflict(conflict),
        _rules(rules),
        f"## Now\n{_prose('brief')}",
    ]
    return _page(
        _matter("work", team, operative, objective=objective.id, **_kind(history is not None)),
        *_beside(parts, rooms),
    )


def _beside(parts: Sequence[str | Section], rooms: Sequence[int]) -> list[str]:
    """The parts with the anchor's whole, and the sections as they fit beside it."""
    anchor = sum(size(part) for part in parts if isinstance(part, str))
    sections = [part for part in parts if isinstance(part, Section)]
    room = next((room for room in sorted(rooms) if room > anchor), max(rooms, default=None))
    left = sum(size(part.text) for part in sections) if room is None else room - anchor
    cut = iter(fitted(sections, left))
    return [part if isinstance(part, str) else next(cut) for part in parts]


def _change(history: Sequence[str], named: Sequence[str]) -> list[str | Section]:
    told = [f"### Requirement {number}\n{quote(text)}" for number, text in enumerate(history, start=1)]
    so_far = "\n".join(["## Product so far", *(told or [_prose("imported")])])
    lines = ["## Named in the change", *_paths(named)] if named else []
    return [
        Section(so_far, "read the files", newest_last=True),
        "\n".join([*lines, "## How to change it", _prose("change")]),
    ]


def _objective(objective: Objective) -> str:
    lines = ["# Objective", _inline(objective.goal)]
    lines += ["## Acceptance criteria", *_bullets(objective.acceptance_criteria)]
    lines += ["## Deliverables", *_paths(objective.deliverables)]
    if objective.constraints:
        lines += ["## Constraints", *_bullets(objective.constraints)]
    return "\n".join(lines)


def _upstream(inputs: Sequence[Upstream]) -> str:
    if not inputs:
        return ""
    lines = ["## Upstream results"]
    for result in inputs:
        lines += [f"### {_inline(result.team)}", "Facts:", *_bullets(result.facts)]
        lines += ["Files:", *_paths(result.files)]
    return "\n".join(lines)


def _rules(rules: Sequence[Told]) -> str:
    """Directives, in the words of the person who gave them."""
    if not rules:
        return ""
    return "\n".join(["## Rules that always hold", *(f"- {_inline(rule.text)}" for rule in rules)])


def _learned(lines: Sequence[str]) -> str:
    """The team's mental model, line by line."""
    if not lines:
        return ""
    return "\n".join(
        ["## What the team has learned", _prose("learned"), *(quote(_inline(one)) for one in lines)]
    )


def recalled(memories: Sequence[Told], forgot: str = "") -> str:
    """What was recalled, each line quoted, marked and with its source; empty where nothing was."""
    if not memories and not forgot:
        return ""
    lines = (
        ["## Recalled from earlier work", _prose("recalled")]
        if memories
        else ["## Recalled from earlier work"]
    )
    lines += [quote(_inline(memory.sentence)) for memory in memories]
    if forgot:
        lines.append(f"Not everything could be searched: {_inline(forgot)}")
    return "\n".join(lines)


def observation(results: Sequence[tuple[str, str, str]]) -> str:
    """What actions did: (tool, remark such as "exit 0" or "error", output), in their order."""
    sections = [
        f"## Observation {number}: {_inline(tool)} ({_inline(remark)})\n{fenced(output)}"
        for number, (tool, remark, output) in enumerate(results, start=1)
    ]
    return _page({"call": "work", "observation": "true"}, *sections)


def packed(lines: Sequence[str]) -> str:
    """What stands for turns that left the conversation: what was done in them, the oldest first."""
    told = [quote(f"- {_inline(line)}") for line in lines]
    return _page({"call": "work", "packed": "true"}, "# Earlier turns", _prose("packed"), "\n".join(told))


def findings(items: Iterable[str], *, team: Team, operative: Operative) -> str:
    """A reviewer's findings, for the author."""
    matter = _matter("work", team, operative, findings="true")
    return _page(matter, "# Findings", _quoted_items(items), _prose("findings"))


def feedback(
    reasons: Iterable[str], *, team: Team, operative: Operative, conflict: Places | None = None
) -> str:
    """The gate's reasons, for the author; `conflict`: the places where its work met another's."""
    matter = _matter("work", team, operative, feedback="true")
    return _page(matter, "# Feedback", _quoted_items(reasons), _conflict(conflict), _prose("feedback"))


def _conflict(places: Places | None) -> str:
    """The places in which two changes met, as they stand in the files of the worktree."""
    if not places:
        return ""
    parts = ["# Conflict", _prose("conflict")]
    left = MOST_CONFLICT_CHARS
    for path, found in places.items():
        parts.append(f"### `{_inline(path)}`")
        shown = [place for place in found if (left := left - len(place)) >= 0]
        parts += [fenced(clean(place), "conflict") for place in shown]
        if len(shown) < len(found):
            parts.append(f"… and {len(found) - len(shown)} more: read the file.")
    return "\n\n".join(parts)


def problems(found: Iterable[ParseProblem], *, team: Team, operative: Operative) -> str:
    """Why blocks of the last reply were not executed."""
    matter = _matter("work", team, operative, problems="true")
    return _page(matter, "# Problems", _quoted_items(str(item) for item in found), _prose("problems"))


def quoted_answer(text: str) -> str:
    """An answer to a question that was not asked by a tool call."""
    return _page({"call": "work", "answer": "true"}, "# Answer to your question", quote(text))


def report_request(*, team: Team, operative: Operative, schema: JsonObject) -> str:
    """The call for the task result."""
    return _page(_matter("report", team, operative), _prose("report"), _schema(schema))


def repair(errors: Iterable[str], *, team: Team, operative: Operative) -> str:
    """The call for the same JSON again, with what was wrong. It continues the conversation's last call."""
    matter = {"team": team.id, "operative": operative.id, "repair": "true"}
    return _page(matter, "# Errors", _quoted_items(errors), _prose("repair"))


def _quoted_items(items: Iterable[str]) -> str:
    """Items that a model or a check wrote, each a list entry inside the quote."""
    return "\n".join(quote(f"- {item.strip()}") for item in items)


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
    return _page(
        _matter("review", team, operative, objective=objective.id),
        f"# Requirement\n{quote(requirement)}",
        _objective(objective),
        f"## Change\n{fenced(shortened(clean(diff), most), 'diff')}",
        _prose("review"),
        _schema(review_schema()),
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
    own = [f"### `{_inline(path)}`\n{fenced(clean(text))}" for path, text in files.items()]
    return _page(
        _matter("clarify", team, operative, objective=objective, asker=asker),
        f"# Requirement\n{quote(requirement)}",
        f"# Question\n{quote(question)}",
        "## Your files",
        *(own or ["none yet"]),
        _prose("clarify"),
        _schema(answer_schema(team_ids or team.asks)),
    )


def answer_to_asker(text: str, *, team: Team, operative: Operative) -> str:
    """What came of a question that the asked team had to pass on."""
    return _page(_matter("clarify", team, operative, answer="true"), "# Answer to your question", quote(text))


def remember(*, team: Team, operative: Operative, objective: str) -> str:
    """The front matter of the call for what is worth keeping; what follows it is mem0's."""
    return _page(_matter("remember", team, operative, objective=objective))


def plan(teams: Iterable[Team], *, requirement: str, objective: str, change: bool = False) -> str:
    """The teams of the pipeline, for the planner; for a change of what exists, those it seems to concern."""
    return _page(
        {"call": "plan", "team": FACTORY, "operative": "planner", "objective": objective} | _kind(change),
        f"# Requirement\n{quote(requirement)}",
        "\n".join(["# Teams", *(_plan_line(team) for team in teams)]),
        _prose("change_plan") if change else "",
        _prose("plan"),
        _schema(plan_schema()),
    )


def _kind(change: bool) -> dict[str, str]:
    return {"kind": "change"} if change else {}


def _plan_line(team: Team) -> str:
    if team.required:
        return f"- {team.id}: {_inline(team.purpose)} (required)"
    notes = [f"skip when: {_inline(team.skip_when)}"] if team.skip_when.strip() else []
    if team.skip_unless:
        notes.append(f"unless: {', '.join(_inline(word) for word in team.skip_unless)}")
    return f"- {team.id}: {_inline(team.purpose)}" + (f" ({'; '.join(notes)})" if notes else "")


def repair_plan(errors: Iterable[str]) -> str:
    """The call for the plan again, with what was wrong."""
    matter = {"team": FACTORY, "operative": "planner", "repair": "true"}
    return _page(matter, "# Errors", _quoted_items(errors), _prose("repair"))
