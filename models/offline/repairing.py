"""Repairing a conflict: where both sides only added lines, both are kept. Anything else is a person's."""

import re

from models.offline.reading import Conversation, Page
from models.offline.rendering import edit_block

_FENCED = re.compile(r"^(`{3,})conflict\n(.*?)^\1[ \t]*$", re.S | re.M)
_PLACE = re.compile(
    r"<{7,} [^\n]*\n(?P<standing>.*?)^\|{7,} [^\n]*\n(?P<base>.*?)^={7,}\n(?P<yours>.*?)^>{7,} ",
    re.S | re.M,
)


def places(page: Page) -> list[tuple[str, str]]:
    """Path and text of each place that a message lays out."""
    return [
        (one.title.strip("`"), found[2])
        for one in page.children("Conflict")
        for found in _FENCED.finditer(one.text)
    ]


def conflicted(conversation: Conversation) -> tuple[int, Page] | None:
    """The newest message that lays out a conflict, and how many own turns were before it."""
    pages = [(0, conversation.brief), *conversation.heard]
    return next((found for found in reversed(pages) if found[1].section("Conflict")), None)


def both(place: str) -> str | None:
    """What stands in the place when both sides are kept; None where a side changed or deleted a line."""
    found = _PLACE.match(place)
    if not found or found["base"].strip():
        return None
    return found["standing"] + found["yours"]


def undecided(conversation: Conversation) -> list[str]:
    """Why the script cannot make one of both, a line for each file."""
    laid = conflicted(conversation)
    if not laid:
        return []
    paths = dict.fromkeys(path for path, place in places(laid[1]) if both(place) is None)
    if "more: read the file." in laid[1].below("Conflict"):
        paths["a file with too many places"] = None
    return [
        f"{path}: both sides changed the same lines; a person has to say which shall stand" for path in paths
    ]


def edits(page: Page) -> str:
    """The blocks that keep both sides."""
    kept = [(path, place, both(place)) for path, place in places(page)]
    return "\n\n".join(edit_block(path, place, text) for path, place, text in kept if text is not None)


def failed(conversation: Conversation) -> bool:
    """Whether a gate sent the repair back."""
    laid = conflicted(conversation)
    if not laid:
        return False
    later = [page for turn, page in conversation.heard if turn > laid[0]]
    return any(page.matter.get("feedback") == "true" for page in later)
