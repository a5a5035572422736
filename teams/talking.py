"""Talks with a person: what a team, a group of teams, or the one who answers from sources is told."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from langchain_core.messages import BaseMessage, HumanMessage, SystemMessage
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from core.json import JsonObject
from teams import prompts
from teams.actions import fenced
from teams.extraction import ResultInvalid, last_object, sentences
from teams.output import clean
from teams.team import Team
from teams.wording import front_matter, inline, page, prose, quote, schema_block

FACTORY: Final = "factory"
MOST_SENTENCES: Final = 12
_PROPOSAL: Final = re.compile(
    r"^```propose (change|mail)(?: +([a-z_]{1,60}))?[ \t]*\n(.*?)^```[ \t]*$", re.MULTILINE | re.DOTALL
)
_CITED: Final = re.compile(r"\[(\d{1,3})\]")
_LOOSE: Final = re.compile(r" ([.,;:!?])")


@dataclass(frozen=True, slots=True)
class Turn:
    """What somebody said before."""

    who: str
    """A team's id, or a person's name."""
    text: str


@dataclass(frozen=True, slots=True)
class Proposal:
    """What a team would have done; a person decides."""

    kind: str
    """change or mail."""
    team: str
    """To whom, of mail."""
    text: str


def talk(
    team: Team, *, topic: str, facts: Sequence[str], turns: Sequence[Turn], message: str
) -> list[BaseMessage]:
    """A person's message to one team."""
    author = team.author
    text = page(
        front_matter("talk", team, author, mode="talk", objective=f"{topic}/1"),
        _facts(facts),
        _turns("Conversation", turns),
        f"# Message\n{quote(clean(message))}",
        prose("talk"),
    )
    return [prompts.system(team, author, native=None), HumanMessage(text)]


def discuss(
    team: Team, *, topic: str, facts: Sequence[str], turns: Sequence[Turn], question: str
) -> list[BaseMessage]:
    """A turn of one team in a group."""
    author = team.author
    text = page(
        front_matter("talk", team, author, mode="discuss", objective=f"{topic}/1"),
        _facts(facts),
        f"# Question\n{quote(clean(question))}",
        _turns("Said so far", turns),
        prose("discuss"),
    )
    return [prompts.system(team, author, native=None), HumanMessage(text)]


def decide(team: Team, *, topic: str, turns: Sequence[Turn], question: str) -> list[BaseMessage]:
    """The end of a group's discussion, written down by one of its teams."""
    author = team.author
    text = page(
        front_matter("talk", team, author, mode="decide", objective=f"{topic}/1"),
        f"# Question\n{quote(clean(question))}",
        _turns("Discussion", turns),
        prose("decide"),
    )
    return [prompts.system(team, author, native=None), HumanMessage(text)]


def from_sources(*, topic: str, sources: Mapping[int, str], question: str) -> list[BaseMessage]:
    """A question about a project, with what was found, by number."""
    told = "\n\n".join(f"## Source {number}\n{fenced(clean(text))}" for number, text in sources.items())
    text = page(
        {
            "call": "talk",
            "team": FACTORY,
            "operative": "librarian",
            "mode": "sources",
            "objective": f"{topic}/1",
        },
        f"# Question\n{quote(clean(question))}",
        f"# Sources\n\n{told}",
        prose("sources"),
        schema_block(sources_schema()),
    )
    return [SystemMessage(prose("librarian") + "\n"), HumanMessage(text)]


class _SourcedWire(BaseModel):
    """An answer as a model gives it."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    known: bool
    sentences: list[str] = Field(max_length=MOST_SENTENCES)


def sources_schema() -> JsonObject:
    """What an answer from sources keeps to."""
    return {
        "type": "object",
        "properties": {
            "known": {"type": "boolean"},
            "sentences": {"type": "array", "items": {"type": "string"}, "maxItems": MOST_SENTENCES},
        },
        "required": ["known", "sentences"],
        "additionalProperties": False,
    }


def sourced(text: str, numbers: Sequence[int]) -> list[tuple[str, tuple[int, ...]]]:
    """The sentences of an answer that name a source there is, each with its sources; none: it is not known.

    Raises ResultInvalid.
    """
    try:
        reply = _SourcedWire.model_validate(last_object(text))
    except ValidationError as invalid:
        raise ResultInvalid(sentences(invalid)) from None
    found: list[tuple[str, tuple[int, ...]]] = []
    for sentence in reply.sentences if reply.known else ():
        cited = tuple(dict.fromkeys(int(number) for number in _CITED.findall(sentence)))
        if cited and all(number in numbers for number in cited):
            found.append((_LOOSE.sub(r"\1", " ".join(_CITED.sub("", sentence).split())), cited))
    return found


def proposals(text: str, team_ids: Sequence[str]) -> tuple[str, list[Proposal]]:
    """What a team said, and what it proposes; mail to a team that is not there stays text."""
    found: list[Proposal] = []

    def take(match: re.Match[str]) -> str:
        kind, team, body = match[1], match[2] or "", match[3].strip()
        if not body or (kind == "mail" and team not in team_ids):
            return match[0]
        found.append(Proposal(kind, team, body))
        return ""

    return _PROPOSAL.sub(take, text).strip(), found


def _facts(facts: Sequence[str]) -> str:
    told = "\n".join(f"- {inline(fact)}" for fact in facts)
    return f"# Facts of the project\n{told or 'none are recorded'}"


def _turns(title: str, turns: Sequence[Turn]) -> str:
    if not turns:
        return ""
    said = (f"## {inline(turn.who)}\n{quote(clean(turn.text))}" for turn in turns)
    return "\n\n".join([f"# {title}", *said])
