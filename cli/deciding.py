"""`factory answer`, `approve` and `reject`: record a person's decision once, then let the run go on."""

from __future__ import annotations

import sys

from cli import records, results
from cli import requirement as requirements
from cli.screen import Screen
from cli.whoami import whoami
from core.errors import BadInput
from core.settings import Settings
from governance.approvals import Approval, Decision
from graph import answering, queries
from graph.runs import Run


class AnswerEmpty(BadInput):
    """The answer is empty."""


_ANSWER = requirements.Meant(
    "The answer",
    "The question is still open",
    "Answer in a few pages, and put the material into the repository",
    'Give it in words: factory answer ID "…"',
)


async def answer(approval: str, text: str, *, go_on: bool, as_json: bool) -> int:
    """Record an answer in words (`-`: from standard input); returns the run's exit code."""
    return await _record(approval, None, words(text), go_on=go_on, as_json=as_json)


def words(text: str) -> str:
    """What was said; for `-`, on standard input. Raises AnswerEmpty."""
    if text == "-":
        text = requirements.read_stream(sys.stdin.buffer, "standard input", _ANSWER)
    if not text.strip():
        raise AnswerEmpty(
            untouched="The question is still open", todo='Give it in words: factory answer ID "…"'
        )
    return text.strip()


async def decide(approval: str, decision: Decision, text: str | None, *, go_on: bool, as_json: bool) -> int:
    """Record a yes or a no; returns the run's exit code."""
    return await _record(approval, decision, text, go_on=go_on, as_json=as_json)


async def _record(
    approval: str, decision: Decision | None, text: str | None, *, go_on: bool, as_json: bool
) -> int:
    screen = Screen(as_json)
    async with records.opened() as kept:
        queued = False
        if not go_on:

            async def told(conn: queries.Connection, approval: Approval) -> None:
                from graph.queue import placing  # takes a while to load, as what drives a run does

                nonlocal queued
                queued = await placing.answered(conn, approval)

            kept.approvals.decided = told
        asked = await answering.find(kept.approvals, approval)
        await answering.require_waiting(kept.runs, asked)
        decided = await kept.approvals.decide(
            asked.id, decision or answering.in_words(asked), answer=text, by=whoami()
        )
        screen.note(f"✓ {decided.id}: {decided.decision}", style="green")
        if not go_on:
            run = await kept.runs.get(decided.run_id)
            if as_json:
                results.show(await kept.summary(run), screen)
            else:
                screen.say(f"Recorded. {_who_goes_on(run, queued)}")
            return 0
    # What it takes to drive a run takes a while to load: only now, so that "too late" is told at once.
    from cli.driving import to_the_end
    from graph.runner import Factory

    async with Factory.open(Settings.load()) as factory:
        screen.announce(factory.announcements)
        return await to_the_end(factory, decided.run_id, screen)


def _who_goes_on(run: Run, queued: bool) -> str:
    here = f"factory resume {run.id}"
    if queued:
        return f"A server or worker goes on with the run as soon as one is free; here and now: {here}"
    return f"Continue the run with: {here}"
