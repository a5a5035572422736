"""The brief: the first message of a stage."""

from __future__ import annotations

from collections.abc import Sequence

from memory.sections import Section, fitted, size
from memory.telling import Told
from teams.contract import Objective, Upstream
from teams.team import Operative, Team
from teams.wording import (
    Places,
    bullets,
    conflict_text,
    front_matter,
    inline,
    kind,
    objective_text,
    page,
    paths,
    prose,
    quote,
)


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
    mail: Sequence[str] = (),
    rooms: Sequence[int] = (),
) -> str:
    """The first message of a stage: the objective anchor, whole, and what fits beside it.

    `files` are the paths in the worktree; `comment` is what a person's review asked for, from round 2 on.
    `history` makes it a change of what exists: the requirements it came about by, the oldest first. `named`:
    the files of this team that the change names. `conflict`: the places that a repair has to decide.
    `rules` are what a person has told the team to follow always: they stand at both ends. `memories` are
    recalled; `forgot` says what of memory was missing. `learned` are lines of the team's mental model. `mail`
    is open mail to the team, a line each. `rooms`: bytes that a brief may take with each model that may be
    asked; the least counts in which the anchor fits. What is left out beside the anchor is said, and can be
    had with tools.
    """
    parts: list[str | Section] = [
        _rules(rules),
        f"# Requirement\n{quote(requirement)}",
        *(_change(history, named) if history is not None else ()),
        objective_text(objective),
        "\n".join(["## You may write", *paths(team.paths)]),
        Section(_upstream(objective.inputs), "read the files, or ask the team"),
        Section(_learned(learned), "use recall_memory"),
        Section(recalled(memories, forgot), "use recall_memory"),
        Section(_open_mail(mail), "use read_mail"),
        Section("\n".join(["## Files in the worktree", *paths(files)]), "use list_files"),
        f"## Review comment\n{quote(comment)}" if comment.strip() else "",
        conflict_text(conflict),
        _rules(rules),
        f"## Now\n{prose('brief')}",
    ]
    return page(
        front_matter("work", team, operative, objective=objective.id, **kind(history is not None)),
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
    so_far = "\n".join(["## Product so far", *(told or [prose("imported")])])
    lines = ["## Named in the change", *paths(named)] if named else []
    return [
        Section(so_far, "read the files", newest_last=True),
        "\n".join([*lines, "## How to change it", prose("change")]),
    ]


def _upstream(inputs: Sequence[Upstream]) -> str:
    if not inputs:
        return ""
    lines = ["## Upstream results"]
    for result in inputs:
        lines += [f"### {inline(result.team)}", "Facts:", *bullets(result.facts)]
        lines += ["Files:", *paths(result.files)]
    return "\n".join(lines)


def _rules(rules: Sequence[Told]) -> str:
    """Directives, in the words of the person who gave them."""
    if not rules:
        return ""
    return "\n".join(["## Rules that always hold", *(f"- {inline(rule.text)}" for rule in rules)])


def _learned(lines: Sequence[str]) -> str:
    """The team's mental model, line by line."""
    if not lines:
        return ""
    return "\n".join(
        ["## What the team has learned", prose("learned"), *(quote(inline(one)) for one in lines)]
    )


def _open_mail(lines: Sequence[str]) -> str:
    """Mail to the team that is open, line by line."""
    if not lines:
        return ""
    return "\n".join(["## Open mail", prose("mail"), *(quote(inline(one)) for one in lines)])


def recalled(memories: Sequence[Told], forgot: str = "") -> str:
    """What was recalled, each line quoted, marked and with its source; empty where nothing was."""
    if not memories and not forgot:
        return ""
    lines = (
        ["## Recalled from earlier work", prose("recalled")]
        if memories
        else ["## Recalled from earlier work"]
    )
    lines += [quote(inline(memory.sentence)) for memory in memories]
    if forgot:
        lines.append(f"Not everything could be searched: {inline(forgot)}")
    return "\n".join(lines)
