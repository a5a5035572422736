"""What the terminal shows things with: two consoles, one word and colour per state, and safe text.

No console here reads markup, and what came from a model or a repository goes through `clean` first.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table
from rich.text import Text

from core.json import JsonObject
from core.plain import clean as clean
from core.plain import cost as cost
from core.plain import counted as counted
from core.plain import one_line as one_line
from core.plain import seconds as seconds
from core.plain import tokens as tokens


@dataclass(frozen=True, slots=True)
class Look:
    """How a state is shown: never by colour alone."""

    icon: str
    word: str
    style: str

    def text(self) -> Text:
        return Text(f"{self.icon} {self.word}", style=self.style)


_PLAIN = Look("·", "", "")

STAGE_LOOKS: Mapping[str, Look] = {
    "waiting": Look("·", "waiting", "dim"),
    "running": Look("▸", "running", "cyan"),
    "asking": Look("?", "asking", "bold yellow"),
    "done": Look("✓", "done", "green"),
    "skipped": Look("-", "skipped", "dim"),
    "failed": Look("✗", "failed", "bold red"),
}

_GOOD = frozenset({"completed", "pass", "passed", "approve", "ok"})
_BAD = frozenset({"failed", "fail", "rejected", "reject", "cancelled", "escalate"})
_OPEN = frozenset({"paused", "blocked", "awaiting_approval", "awaiting_input"})


def look(state: str) -> Look:
    """How a stage's state, a run's status or a verdict is shown."""
    if state in STAGE_LOOKS:
        return STAGE_LOOKS[state]
    word = state.replace("_", " ")
    if state in _GOOD:
        return Look("✓", word, "green")
    if state in _BAD:
        return Look("✗", word, "bold red")
    if state in _OPEN:
        return Look("?", word, "bold yellow")
    if not state:
        return _PLAIN
    return Look("▸", word, "cyan")


_WIDTH_OF_A_PIPE = 140
"""Columns of a table that is piped somewhere; rich's own 80 would fold ids and paths."""


def _console(stream: str) -> Console:
    console = Console(stderr=stream == "stderr", markup=False, highlight=False, emoji=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _WIDTH_OF_A_PIPE
    return console


@dataclass
class Screen:
    """Where a command writes: results to stdout, everything on the way to stderr.

    With `as_json` stdout carries exactly one JSON object, and nobody is asked anything.
    """

    as_json: bool = False
    out: Console = field(default_factory=lambda: _console("stdout"))
    err: Console = field(default_factory=lambda: _console("stderr"))

    @property
    def interactive(self) -> bool:
        """Whether a person sits here who can be asked."""
        return not self.as_json and sys.stdin.isatty() and self.err.is_terminal

    def result(self, value: JsonObject) -> None:
        """Write the one JSON object of a command."""
        # Straight to the stream: rich would wrap and colour it.
        sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2, default=str) + "\n")
        sys.stdout.flush()

    def say(self, text: str | Text = "", *, style: str = "") -> None:
        """A line of a command's result, never wrapped, so that it can be copied."""
        self.out.print(_text(text), style=style or None, soft_wrap=True)

    def read(self, text: str) -> None:
        """Prose of a result: wrapped between words at a terminal, but for commands in it."""
        _prose(self.out, text)

    def note(self, text: str | Text = "", *, style: str = "") -> None:
        """A line beside the result: progress, announcements, advice."""
        self.err.print(_text(text), style=style or None, soft_wrap=True)

    def tell(self, text: str, *, style: str = "") -> None:
        """Prose beside the result: wrapped between words at a terminal, but for commands in it."""
        _prose(self.err, text, style)

    def cut(self, text: str, *, style: str = "") -> None:
        """A line beside the result that may lose its end, where it stands in a table."""
        self.err.print(_text(text), style=style or None, no_wrap=True, overflow="ellipsis", crop=True)

    def announce(self, announcements: list[str]) -> None:
        """What a reader must know about all that follows (scripted model, no sandbox)."""
        for announcement in announcements:
            self.note(f"! {announcement}", style="bold yellow")


_COMMAND = re.compile(r"\s+(?:git|factory) ")
"""A line that is meant to be copied."""


def _prose(console: Console, text: str, style: str = "") -> None:
    for line in clean(text).split("\n"):
        whole = not console.is_terminal or _COMMAND.match(line) is not None
        console.print(Text(line), style=style or None, soft_wrap=whole)


def _text(text: str | Text) -> Text:
    return text if isinstance(text, Text) else Text(clean(text))


_WHOLE = frozenset({"id", "run", "thread", "webhook"})
"""Columns of ids. They are copied into the next command, so no width of a terminal breaks them."""


def table(*columns: str, right: tuple[str, ...] = ()) -> Table:
    """A table in the one style of this program; columns in `right` hold numbers."""
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        made.add_column(
            column,
            justify="right" if column in right else "left",
            overflow="fold",
            no_wrap=column in _WHOLE,
        )
    return made
