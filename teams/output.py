"""Text from outside (a command, a file) as a model may see it: bounded, and without terminal tricks."""

from __future__ import annotations

import re

MOST_CHARS = 12_000
"""About 3,000 tokens: an observation must not crowd the objective out of a small model's context."""

_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor
    r"|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?"  # OSC, DCS and other strings: titles, links, clipboard
    r"|\x1b[ -/]*[0-~]"  # two-character sequences
    r"|\x9b[0-?]*[ -/]*[@-~]"
)
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def clean(text: str) -> str:
    """The text without escape sequences and controls; of a line rewritten in place, its last state."""
    text = _ESCAPES.sub("", text).replace("\r\n", "\n")
    lines = (line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n"))
    return _CONTROLS.sub("", "\n".join(lines))


def shortened(text: str, most: int = MOST_CHARS) -> str:
    """At most about `most` characters: a quarter of it head, the rest tail, where errors stand."""
    if len(text) <= most:
        return text
    head, tail = text[: most // 4], text[-(most - most // 4) :]
    return f"{head}\n… ({len(text) - most} characters left out) …\n{tail}"


def shown(text: str, most: int = MOST_CHARS) -> str:
    """Clean and bounded. The bound goes first over the raw text, so that a gigabyte costs nothing here."""
    return shortened(clean(shortened(text, 20 * most)), most)
