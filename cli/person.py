"""Asking the person at the terminal: the question, what may be answered, and what a line of theirs means."""

from __future__ import annotations

import asyncio
import os
import sys
import termios
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from cli.screen import Screen, one_line
from core.tasks import end
from governance.approvals import AlreadyDecided, Approval, Decision

_WORDS: dict[str, Decision] = {
    "approve": "approve",
    "a": "approve",
    "yes": "approve",
    "y": "approve",
    "ok": "approve",
    "reject": "reject",
    "r": "reject",
    "no": "reject",
    "n": "reject",
    "edit": "edit",
    "e": "edit",
    "respond": "respond",
    "answer": "respond",
}


_OURS = frozenset({"base", "commit", "target", "asker"})
"""Details that programs need: a person has the branch and the question."""
_MOST_LINES = 12
"""Lines of a detail that are shown, so that the question stays in sight on a screen of 24."""


@dataclass(frozen=True, slots=True)
class Said:
    """What a person decided."""

    decision: Decision
    text: str | None


def understand(line: str, allowed: Sequence[Decision], default: str | None) -> Said | None:
    """What `line` means where `allowed` may be decided; None when it means nothing there.

    A word of decision (`approve`, `r: too broad`) counts only where that decision is allowed, so that "no"
    can be an answer to a question. An empty line takes the default.
    """
    line = line.strip()
    if not line:
        return _default(allowed, default)
    word, colon, rest = line.partition(":")
    decision = _WORDS.get(word.strip().lower())
    rest = rest.strip()
    if decision in allowed and decision is not None and (colon or not rest):
        needs_text = decision in {"edit", "respond"}
        return None if needs_text and not rest else Said(decision, rest or None)
    for wordy in ("respond", "edit"):
        if wordy in allowed:
            return Said(wordy, line)
    # Without an answer in words, "reject too broad" can only be the decision and its reason.
    word, _, rest = line.partition(" ")
    decision = _WORDS.get(word.lower())
    if decision is not None and decision in allowed:
        return Said(decision, rest.strip() or None)
    return None


def _default(allowed: Sequence[Decision], default: str | None) -> Said | None:
    if not default:
        return None
    for decision in allowed:
        if default == decision:
            return Said(decision, None)
    return Said("respond", default) if "respond" in allowed else None


def choices(allowed: Sequence[Decision], default: str | None) -> str:
    """One line that says what may be answered, and what Enter does."""
    said: list[str] = []
    if "approve" in allowed:
        said.append("approve")
    if "reject" in allowed:
        said.append("reject (or reject: why)")
    if "edit" in allowed:
        said.append("edit: what to change")
    if "respond" in allowed:
        said.append("an answer in your words" if not said else "or an answer in your words")
    enter = f" · Enter: {one_line(default)}" if default and _default(allowed, default) else ""
    return f"{' · '.join(said)}{enter} · Ctrl-D: later"


def show(screen: Screen, approval: Approval) -> None:
    """The question with all that helps to decide it, on the screen's way (stderr)."""
    screen.note()
    screen.note(f"? {approval.title}", style="bold yellow")
    # What helps to decide stands above the question, so that a long list does not push it off the screen.
    known = f"{approval.title} {approval.question} {approval.team}"
    for name, value in approval.detail.items():
        if name not in _OURS and isinstance(value, str | int | float | list):
            _detail(screen, name.replace("_", " "), value, known)
    if approval.question != approval.title:
        screen.tell(approval.question)
    screen.note(f"  {approval.kind} · risk {approval.risk} · {approval.id}", style="dim")


def _detail(screen: Screen, name: str, value: str | float | list[Any], known: str) -> None:
    parts = [str(part) for part in value] if isinstance(value, list) else [str(value)]
    if all(part in known for part in parts):
        return  # what the question says already is not said twice
    lines = "; ".join(parts).strip("\n").splitlines()
    if len(lines) == 1:
        screen.tell(f"  {name}: {lines[0].strip()}", style="dim")
        return
    for line in lines[:_MOST_LINES]:
        screen.cut(f"  {line.rstrip()}", style="dim")
    if len(lines) > _MOST_LINES:
        screen.note(f"  … and {len(lines) - _MOST_LINES} lines more", style="dim")


async def ask_first(
    screen: Screen, approval: Approval, elsewhere: Coroutine[Any, Any, Approval]
) -> Said | None:
    """The same as `ask`, unless somebody else decides meanwhile; then raises AlreadyDecided.

    `elsewhere` waits for that, and gives the question with its decision.
    """
    asking = asyncio.create_task(ask(screen, approval))
    other = asyncio.create_task(elsewhere)
    try:
        await asyncio.wait({asking, other}, return_when=asyncio.FIRST_COMPLETED)
        if not asking.done() and other.exception() is None:
            screen.note()
            # What was typed so far is no answer to the next question.
            termios.tcflush(sys.stdin.fileno(), termios.TCIFLUSH)
            raise AlreadyDecided(other.result())
        return await asking  # also where nobody can be watched: the answer itself is refused, if it is late
    finally:
        await end(asking, other)


async def ask(screen: Screen, approval: Approval) -> Said | None:
    """Ask until the answer is one that is allowed; None when the person leaves it for later."""
    show(screen, approval)
    while True:
        screen.tell(f"  {choices(approval.allowed, approval.default_answer)}", style="dim")
        screen.err.print("> ", end="", style="bold")
        line = await read_line()
        if line is None:
            screen.note()
            return None
        said = understand(line, approval.allowed, approval.default_answer)
        if said is not None:
            return said
        screen.note("That is not one of the answers.", style="yellow")


async def read_line() -> str | None:
    """A line from the terminal; None at its end.

    Waits in the event loop, not in a thread: a thread in read() could not be interrupted by Ctrl-C.
    """
    loop = asyncio.get_running_loop()
    descriptor = sys.stdin.fileno()
    data = b""
    while not data.endswith(b"\n"):
        ready: asyncio.Future[None] = loop.create_future()
        loop.add_reader(descriptor, _wake, ready)
        try:
            await ready
        finally:
            loop.remove_reader(descriptor)
        piece = os.read(descriptor, 65_536)
        if not piece:
            break
        data += piece
    return data.decode("utf-8", "replace") if data else None


def _wake(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)
