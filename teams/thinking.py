"""The part of a reply that is meant: what stands after a model's thinking aloud.

Reasoning models put their thoughts between `<think>` and `</think>` into the same text. A draft in there is
no answer and a command in there is no action, so both readers of replies (the contract and the actions) start
from here.
"""

from __future__ import annotations

import re

_LEADING = re.compile(r"\s*<(think|thinking)>", re.IGNORECASE)
_CLOSING = re.compile(r"</(?:think|thinking)>", re.IGNORECASE)
_OPENING = re.compile(r"<(?:think|thinking)>", re.IGNORECASE)


def after_thinking(text: str) -> str | None:
    """The reply without its leading thoughts; None when the thinking never ends (so nothing was said)."""
    rest = text
    while _LEADING.match(rest):
        closing = _CLOSING.search(rest)
        if closing is None:
            return None
        rest = rest[closing.end() :]
    # Some chat templates swallow the opening tag. One lone closing tag is then the end of the thoughts.
    closings = list(_CLOSING.finditer(rest))
    if len(closings) == 1 and not _OPENING.search(rest):
        rest = rest[closings[0].end() :]
    return rest
