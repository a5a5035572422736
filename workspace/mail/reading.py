"""Threads, and finding a word in them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from workspace.mail.message import Message, Status, parse


@dataclass(frozen=True, slots=True)
class Thread:
    """Messages about one thing, oldest first."""

    id: str
    messages: tuple[Message, ...]

    @property
    def subject(self) -> str:
        """What it is about."""
        return self.messages[0].subject

    @property
    def status(self) -> Status:
        """Where it stands: what its newest message says."""
        return self.messages[-1].status


def messages(texts: Mapping[str, str]) -> list[Message]:
    """The messages in files, by path, oldest first. What is no message is left out."""
    found = (parse(path, text) for path, text in texts.items())
    return sorted((each for each in found if each), key=lambda each: (each.created, each.id))


def threads(of: Iterable[Message]) -> list[Thread]:
    """Messages as threads, the one with the newest message first."""
    by_thread: dict[tuple[str, str], list[Message]] = {}
    for message in of:
        by_thread.setdefault((message.run, message.thread), []).append(message)
    # A reply of the same moment stands after what it replies to.
    made = [
        Thread(thread, tuple(sorted(each, key=lambda m: (m.created, bool(m.in_reply_to), m.id))))
        for (_, thread), each in by_thread.items()
    ]
    return sorted(made, key=lambda each: each.messages[-1].created, reverse=True)


def search(of: Sequence[Message], query: str) -> list[Message]:
    """The messages that hold every word of the query, newest first, whatever the case."""
    words = query.casefold().split()
    found: list[Message] = []
    for message in of:
        text = " ".join((message.subject, message.body, message.sender, *message.to, message.kind)).casefold()
        if words and all(word in text for word in words):
            found.append(message)
    return sorted(found, key=lambda each: (each.created, each.id), reverse=True)


def waiting_for(team: str, of: Sequence[Message]) -> list[Message]:
    """Open mail to a team, newest first: what has come since it handed its work on, and has no answer.

    `of`: oldest first, as `messages` gives them.
    """
    handed = (each.created for each in of if each.kind == "hand-off" and each.sender == team)
    handed_on = max(handed, default="")
    newest = (thread.messages[-1] for thread in threads(of) if thread.status == "open")
    return [each for each in newest if team in each.to and each.sender != team and each.created > handed_on]
