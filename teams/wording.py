"""What messages to a model are made of: front matter, quotes, lists, fences.

Text that a person or a model wrote is always quoted line by line with `> `, and file content fenced with a
fence longer than any inside it, so that nothing in it can end its quote and speak as the factory.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources

from core.json import JsonObject
from models.calls import CallKind
from teams.actions import fenced
from teams.contract import Objective
from teams.output import clean
from teams.team import Operative, Team

MOST_FILES = 300
MOST_CONFLICT_CHARS = 20_000

Places = Mapping[str, Sequence[str]]
"""Of each file of a conflict, the places to decide: whole lines, from marker to marker."""


# Read with the module, since a prompt is written inside the event loop.
_PROSE = {
    file.name.removesuffix(".md"): file.read_text(encoding="utf-8").strip()
    for file in resources.files("teams").joinpath("prompts").iterdir()
    if file.name.endswith(".md")
}


def prose(name: str) -> str:
    """A prompt of `prompts/`, by its name."""
    return _PROSE[name]


def quote(text: str) -> str:
    """Each line behind `> `. Every kind of line end counts, so that none hides a line from the quote."""
    return "\n".join(f"> {line}".rstrip() for line in clean(text).splitlines()) or ">"


def inline(text: str) -> str:
    """A text from outside on one line."""
    return " ".join(clean(text).split())


def bullets(items: Iterable[str]) -> list[str]:
    """Each item on a line of its own; a line that says so where there is none."""
    return [f"- {inline(item)}" for item in items] or ["- none"]


def paths(listed: Sequence[str]) -> list[str]:
    """Paths, a line each, at most MOST_FILES."""
    lines = [f"- `{inline(path)}`" for path in listed[:MOST_FILES]]
    if len(listed) > MOST_FILES:
        lines.append(f"- … and {len(listed) - MOST_FILES} more; use list_files")
    return lines or ["- none"]


def page(front: Mapping[str, str], *parts: str) -> str:
    """A message: front matter, then the parts that are not empty."""
    lines = "\n".join(f"{key}: {inline(value)}" for key, value in front.items())
    return f"---\n{lines}\n---\n" + "\n\n".join(part for part in parts if part) + "\n"


def front_matter(call: CallKind, team: Team, operative: Operative, **more: str) -> dict[str, str]:
    """The front matter of a call."""
    return {"call": call, "team": team.id, "operative": operative.id, **more}


def schema_block(schema: JsonObject) -> str:
    """The schema that an answer is to keep to."""
    # In the order of the schema, never sorted: the status is to be written after the reasoning.
    return fenced(json.dumps(schema, ensure_ascii=False, indent=1), "json")


def objective_text(objective: Objective) -> str:
    """The objective: goal, criteria, deliverables, constraints."""
    lines = ["# Objective", inline(objective.goal)]
    lines += ["## Acceptance criteria", *bullets(objective.acceptance_criteria)]
    lines += ["## Deliverables", *paths(objective.deliverables)]
    if objective.constraints:
        lines += ["## Constraints", *bullets(objective.constraints)]
    return "\n".join(lines)


def conflict_text(places: Places | None) -> str:
    """The places in which two changes met, as they stand in the files of the worktree."""
    if not places:
        return ""
    parts = ["# Conflict", prose("conflict")]
    left = MOST_CONFLICT_CHARS
    for path, found in places.items():
        parts.append(f"### `{inline(path)}`")
        shown = [place for place in found if (left := left - len(place)) >= 0]
        parts += [fenced(clean(place), "conflict") for place in shown]
        if len(shown) < len(found):
            parts.append(f"… and {len(found) - len(shown)} more: read the file.")
    return "\n\n".join(parts)


def quoted_items(items: Iterable[str]) -> str:
    """Items that a model or a check wrote, each a list entry inside the quote."""
    return "\n".join(quote(f"- {item.strip()}") for item in items)


def kind(change: bool) -> dict[str, str]:
    """What the front matter says of a change of what exists."""
    return {"kind": "change"} if change else {}
