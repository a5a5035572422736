"""The profiles as the page lists them, and what is picked beside a message in each."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any, Final, cast

from chat.knowledge import Knowledge
from chat.profiles.talks import GROUP, NO_PROJECT, QUESTIONS, TEAM
from graph.runner import Factory

FACTORY: Final = "Factory"

_MOST_PROJECTS: Final = 50
_PROFILES: Final = (
    (FACTORY, "Say what you want. Seventeen teams build it, you decide.", "factory"),
    (TEAM, "Talk with one team, from what it remembers of a project.", "team"),
    (GROUP, "Have several teams settle a question. It ends with a written decision.", "group"),
    (QUESTIONS, "Ask what is recorded of a project. Every sentence has its source.", "questions"),
)
_STARTERS: Final[dict[str, tuple[tuple[str, str], ...]]] = {
    FACTORY: (
        (
            "A lending library",
            "A lending library: members borrow and return books, and see what is overdue.",
        ),
        ("A room planner", "A service to book meeting rooms without double bookings, with a page."),
        (
            "An invoice archive",
            "Keep invoices with customer, amount and due date, and list the late ones.",
        ),
        ("A stock list", "Track items in a warehouse: what came in, what went out, and what runs low."),
    ),
    TEAM: (("What do you remember?", "What do you remember of this project, and what would you do next?"),),
    GROUP: (("One database or two?", "Should reports read from the same database as the service?"),),
    QUESTIONS: (("What was decided?", "What was decided about the data model, and why?"),),
}


def listed(announcements: Sequence[str] = ()) -> list[Any]:
    """The profiles, as Chainlit takes them; `announcements` stand on the page before anything is said."""
    known = "".join(f"\n\n**{text}**" for text in announcements)
    types = cast(Any, importlib.import_module("chainlit.types"))
    return [
        types.ChatProfile(
            name=name,
            markdown_description=f"{about}{known}",
            icon=f"/public/profiles/{picture}.svg",
            default=name == FACTORY,
            starters=[types.Starter(label=label, message=text) for label, text in _STARTERS[name]],
        )
        for name, about, picture in _PROFILES
    ]


async def modes(factory: Factory, profile: str | None) -> list[dict[str, Any]]:
    """What is picked beside a message: a pipeline, a team, a project."""
    if profile in (None, "", FACTORY):
        return [_mode("pipeline", "Pipeline", _pipelines(factory))]
    projects = (await Knowledge(factory).projects())[:_MOST_PROJECTS]
    named = [*((name, name) for name in projects), (NO_PROJECT, "no project")]
    teams = [(team, factory.registry.team(team).name) for team in factory.registry.ids]
    return [
        *([_mode("team", "Team", teams)] if profile == TEAM else []),
        _mode("project", "Project", named),
    ]


def _mode(name: str, title: str, options: list[tuple[str, str]]) -> dict[str, Any]:
    return {
        "id": name,
        "name": title,
        "options": [
            {"id": option, "name": said, "description": None, "icon": None, "default": number == 0}
            for number, (option, said) in enumerate(options)
        ],
    }


def _pipelines(factory: Factory) -> list[tuple[str, str]]:
    names = sorted(
        factory.pipelines(), key=lambda name: name != "full"
    )  # what is meant where nothing is picked
    return [(name, f"pipeline {name}") for name in names]
