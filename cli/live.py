"""What a person sees while a run works: a table that renews itself at a terminal, plain lines elsewhere.

Both are readers of the event log and nothing else; killing them harms no run.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from typing import Any, Protocol

from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from cli import screen as look_of
from cli.screen import Screen, one_line, table
from core import clock
from core.events import Event
from graph.narration import LOUD, tell_at
from graph.progress import Progress, StageRow
from graph.summary import command_of

_REFRESH = 0.25
"""Seconds between two pictures of the table; events between them cost no drawing."""
_QUIET = 120.0
"""Seconds without any event after which the table says how to continue a run that nobody drives."""


Settled = Callable[[Event], Awaitable[bool]]


async def at_the_end(event: Event) -> bool:
    """Settled: nothing follows the event that ends a run."""
    return event.kind == "run.ended"


class View(Protocol):
    """Something that shows events as they come."""

    def apply(self, event: Event) -> None: ...


class Lines:
    """A line for each event that shows how the run goes on."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen

    def apply(self, event: Event) -> None:
        if event.kind in LOUD:
            self._screen.note(tell_at(event))


class Table:
    """A row a stage, renewed in place."""

    def __init__(self, run_id: str, height: int) -> None:
        self.progress = Progress()
        self._run_id = run_id
        self._height = height
        self._since: dict[str, datetime] = {}
        self._asked: dict[str, tuple[str, str]] = {}  # of each question the title, and what answers it
        self._decided = ""
        self._last = clock.monotonic()

    def apply(self, event: Event) -> None:
        self.progress.apply(event)
        self._last = clock.monotonic()
        if event.kind == "stage.started" and event.team:
            self._since[event.team] = event.at
        elif event.kind == "approval.requested":
            self._ask(event.payload)
        elif event.kind == "approval.decided":
            title, _ = self._asked.get(str(event.payload["approval_id"]), ("A question", ""))
            self._decided = f"{event.payload['decision']} by {event.payload['by']}: {title}"

    def picture(self) -> RenderableType:
        """The table as it is now."""
        people = self._people()
        rows, hidden = _fitting(self.progress.rows, self._height - 4 - len(people))
        stages = table("state", "team", "time", "tokens", "cost", "doing", right=("time", "tokens", "cost"))
        for column in stages.columns:
            column.no_wrap = True
            column.overflow = "ellipsis"
        stages.columns[-1].ratio = 1
        stages.expand = True
        for row in rows:
            stages.add_row(
                look_of.look(row.state).text(),
                Text(look_of.clean(row.name)),
                look_of.seconds(self._seconds(row)),
                look_of.tokens(row.tokens),
                look_of.cost(row.cost_usd) if row.tokens else "",
                Text(doing(row), style="dim" if row.state != "running" else ""),
            )
        if not rows:
            # Before the plan there is no stage to show.
            stages = Text()
        # Before the first event it is not known how far the run is.
        status = self.progress.status if self.progress.last_at else ""
        head = Text.assemble(f"{self._run_id}  ", look_of.look(status).text())
        foot = Text(f"{hidden} more stages are done, skipped or waiting" if hidden else "", style="dim")
        if clock.monotonic() - self._last > _QUIET:
            foot.append(
                f"  No news for {look_of.seconds(clock.monotonic() - self._last)}. "
                f"If no process drives this run: factory resume {self._run_id}",
                style="yellow",
            )
        return Group(head, stages, *people, foot)

    def _ask(self, payload: Mapping[str, Any]) -> None:
        name, default = str(payload["approval_id"]), payload.get("default_answer")
        command = command_of(name, str(payload.get("kind")), payload.get("allowed") or (), default)
        self._asked[name] = str(payload.get("title") or "A question"), command

    def _people(self) -> list[Text]:
        """What waits for a person, with the command that answers it; and who has decided last."""
        lines: list[Text] = []
        for approval in self.progress.waiting:
            title, command = self._asked[approval]
            # The command on a line of its own: it can be copied, and a narrow screen cuts only the title.
            lines.append(Text(f"? {one_line(title)}", style="bold yellow", no_wrap=True, overflow="ellipsis"))
            lines.append(Text(f"  {command}", no_wrap=True, overflow="ellipsis"))
        if self._decided:
            lines.append(Text(one_line(self._decided), style="dim", no_wrap=True, overflow="ellipsis"))
        return lines

    def _seconds(self, row: StageRow) -> float | None:
        started = self._since.get(row.team)
        if row.state in {"running", "asking"} and started is not None:
            return max(0.0, (clock.now() - started).total_seconds())
        return row.seconds or None


def doing(row: StageRow) -> str:
    """The last column: what the stage does now, or how it ended."""
    if row.state == "skipped":
        return one_line(row.skipped_because or "")
    if row.state in {"done", "failed"}:
        return f"{row.verdict or ''}{f' after {row.attempts} attempts' if row.attempts > 1 else ''}"
    return one_line(row.doing or "")


def _fitting(rows: list[StageRow], height: int) -> tuple[list[StageRow], int]:
    """The rows that fit on a low screen, those that move first, in the order of the pipeline."""
    if len(rows) <= max(height, 3):
        return rows, 0
    by_interest = {"asking": 0, "running": 1, "failed": 2, "waiting": 3, "done": 4, "skipped": 5}
    chosen = sorted(range(len(rows)), key=lambda place: (by_interest.get(rows[place].state, 9), place))
    kept = sorted(chosen[: max(height, 3)])
    return [rows[place] for place in kept], len(rows) - len(kept)


@asynccontextmanager
async def watching(screen: Screen, run_id: str) -> AsyncGenerator[View]:
    """A view that is drawn as long as the block lasts."""
    if screen.as_json or not screen.err.is_terminal:
        yield Lines(screen)
        return
    view = Table(run_id, screen.err.height)
    # Drawn from this event loop, not by rich's own thread, which would read the rows while they change.
    with Live(console=screen.err, auto_refresh=False, transient=True, get_renderable=view.picture) as live:
        ticker = asyncio.create_task(_tick(live))
        try:
            yield view
        finally:
            ticker.cancel()
            with suppress(asyncio.CancelledError):
                await ticker


async def _tick(live: Live) -> None:
    while True:
        live.refresh()
        await asyncio.sleep(_REFRESH)


class Feed:
    """Brings a run's events to a view, each once, in order."""

    def __init__(self, view: View) -> None:
        self.view = view
        self.seen = 0

    async def take(self, events: AsyncIterator[Event], settled: Settled) -> None:
        """Show all that comes, until `settled` says of an event that nothing worth waiting for follows it."""
        try:
            async for event in events:
                self.show(event)
                if await settled(event):
                    return
        finally:
            # A generator that is left early would keep its connection until it is collected.
            close = getattr(events, "aclose", None)
            if close is not None:
                await close()

    def show(self, event: Event) -> None:
        if event.seq > self.seen:
            self.seen = event.seq
            self.view.apply(event)
