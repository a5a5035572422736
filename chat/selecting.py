"""Who speaks next in a group: decided in code, from what was asked and said, within turns and tokens."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from chat.knowledge import asked_words
from teams.talking import Turn
from teams.team import Team

MOST_TURNS: Final = 8
"""Turns of a discussion, the decision not counted."""
MOST_TOKENS: Final = 60_000
"""Tokens of a discussion, prompts included; the turn that reaches it is the last."""
MOST_TEAMS: Final = 4
"""Teams that are chosen where a person names none."""
_NAMED: Final = re.compile(r"@([a-z_]{2,60})")


@dataclass(frozen=True, slots=True)
class Choice:
    """Who speaks next, or why nobody does."""

    team: str | None
    why: str


def members(question: str, teams: Mapping[str, Team]) -> list[str]:
    """Who takes part: those that the question names with `@`, else those that it concerns most."""
    named = [team for team in dict.fromkeys(_NAMED.findall(question)) if team in teams]
    if named:
        return named
    asked = asked_words(question)
    rated = [
        (len(asked & asked_words(_about(team))), -at, name) for at, (name, team) in enumerate(teams.items())
    ]
    best = sorted(rated, reverse=True)[:MOST_TEAMS]
    concerned = [name for count, _, name in best if count]
    fallback = [name for name in ("solution_architecture", "product_management") if name in teams]
    return list(dict.fromkeys([*concerned, *fallback, *teams]))[: max(2, len(concerned))]


def choose(group: Sequence[str], turns: Sequence[Turn], tokens: int) -> Choice:
    """The next speaker: whom the last one named, else who has not spoken; nobody when all is said."""
    if len(turns) >= MOST_TURNS:
        return Choice(None, f"{MOST_TURNS} turns were taken")
    if tokens >= MOST_TOKENS:
        return Choice(None, f"{tokens:,} of {MOST_TOKENS:,} tokens were used")
    last = turns[-1] if turns else None
    heard = {turn.who for turn in turns}
    for name in _NAMED.findall(last.text) if last is not None else ():
        spoke = sum(turn.who == name for turn in turns)
        if name in group and last is not None and name != last.who and spoke < 2:
            return Choice(name, f"{last.who} asks for it")
    for name in group:
        if name not in heard:
            return Choice(name, "has not spoken yet")
    return Choice(None, "all have spoken, and nobody was asked for")


def _about(team: Team) -> str:
    return f"{team.name} {team.purpose} {' '.join(team.skip_unless)} {' '.join(team.change.words)}"
