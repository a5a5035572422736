"""Text that is safe to show, and numbers as a person reads them: the same on every surface.

Text from a model or a repository is never trusted: `clean` takes out what could move a terminal's cursor,
colour the screen, or turn the reading direction.
"""

from __future__ import annotations

import re
from decimal import Decimal

_ESCAPES = re.compile(
    r"""
      \x1b\][^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c|\Z)       # OSC: titles, links, the clipboard
    | \x1b[PX^_][^\x1b\x9c]*(?:\x1b\\|\x9c|\Z)            # DCS, SOS, PM, APC
    | (?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?                   # CSI: colours, cursor, erasing
    | \x1b[ -/]*[0-~]?                                    # every other escape
    """,
    re.VERBOSE,
)
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_SURROGATES = re.compile(r"[\ud800-\udfff]")


def clean(text: str) -> str:
    """`text` without escapes, control characters and direction overrides; line feeds and tabs stay."""
    text = _ESCAPES.sub("", text.replace("\r\n", "\n"))
    return _SURROGATES.sub("\N{REPLACEMENT CHARACTER}", _CONTROLS.sub("", text))


def one_line(text: str, limit: int = 160) -> str:
    """`text` cleaned, on one line, at most `limit` characters."""
    line = " ".join(clean(text).split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def seconds(value: float | None) -> str:
    """A duration as a person reads it: 0.4 s, 12 s, 3 min 05 s, 2 h 07 min."""
    if value is None:
        return ""
    if value < 10:
        return f"{value:.1f} s"
    whole = round(value)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def tokens(value: int | None) -> str:
    """A number of tokens, with thousands separated."""
    return f"{value:,}" if value else ""


def cost(value: Decimal | float | str | None) -> str:
    """An amount in US dollars; amounts under a cent keep their digits."""
    if value is None:
        return ""
    amount = Decimal(str(value))
    if amount == 0:
        return "$0"
    return f"${amount:.4f}" if abs(amount) < 1 else f"${amount:,.2f}"


def counted(number: int, noun: str) -> str:
    """A number of things: `1 run`, `1,017 events`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
