"""What a webhook can be told of, and what it is sent: decided from the event alone."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from types import MappingProxyType
from typing import Final, Literal

from core.events import Event
from core.feed import Noted
from core.json import canonical

Topic = Literal["run.ended", "approval.wanted", "budget", "incident", "protocol.run"]

MEANINGS: Final[Mapping[Topic, str]] = MappingProxyType(
    {
        "run.ended": "a run has ended, however",
        "approval.wanted": "a run waits for a person's decision or words",
        "budget": "a budget is spent and a person is asked, or was extended",
        "incident": "an account was excluded, a run interrupted, a webhook disabled, or a release failed",
        "protocol.run": "a run of the Agent Protocol has ended that names the URL as its webhook",
    }
)

_TOPICS: Final[Mapping[str, Topic]] = MappingProxyType(
    {
        "run.ended": "run.ended",
        "approval.requested": "approval.wanted",
        "budget.extended": "budget",
        "account.excluded": "incident",
        "run.interrupted": "incident",
        "release.failed": "incident",
        "webhook.disabled": "incident",
    }
)
KINDS: Final = tuple(_TOPICS)
"""Kinds of events that any topic is about."""

_LARGEST: Final = 20_000
"""Characters of a record that are sent along; receivers are made for small messages."""


def topics_of(event: Event) -> tuple[Topic, ...]:
    """What the event is about."""
    topic = _TOPICS.get(event.kind)
    if topic is None:
        return ()
    if event.kind == "approval.requested" and event.payload.get("kind") == "budget":
        return topic, "budget"
    return (topic,)


def first(about: Iterable[Topic], wanted: Collection[str]) -> Topic | None:
    """Under which topic an event is told to somebody; None where they want none of them."""
    return next((one for one in about if one in wanted), None)


def body(noted: Noted, topic: Topic) -> str:
    """The message: `type`, `timestamp` (when it happened) and `data` (the event). JSON."""
    event = noted.event
    whole = len(noted.told) <= _LARGEST
    return canonical(
        {
            "type": topic,
            "timestamp": event.at.isoformat(),
            "data": {
                "run_id": event.run_id,
                "project": noted.project,
                "position": noted.position,
                "seq": event.seq,
                "kind": event.kind,
                "team": event.team,
                "payload": event.payload if whole else None,
                "payload_omitted": not whole,
            },
        }
    )
