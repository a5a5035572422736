"""Letters of a project's inbox: each becomes a run, and its outcome stands in the outbox.

A letter is known by its name and text: taken twice, or by two processes at once, it is one run.
"""

from __future__ import annotations

from dataclasses import dataclass

from core import faults
from core.errors import BadInput
from graph.giving import give
from graph.lifecycle import ENDED
from graph.runner import Factory
from graph.schedules.schedules import Work
from graph.summary import RunSummary
from workspace.locks import FileLock
from workspace.mail import inbox
from workspace.mail.inbox import Letter
from workspace.mail.message import INBOX, OUTBOX, plain
from workspace.repository import Repository

_MOST_SHOWN = 2_000


@dataclass(frozen=True, slots=True)
class Round:
    """What came of one look into an inbox."""

    taken: tuple[str, ...]
    """Runs that were made."""
    answered: int
    """Letters whose answer was written."""
    unusable: int
    """Letters of which no run can be made."""


async def look(factory: Factory, project: str, work: Work, *, by: str, takes: bool = True) -> Round:
    """Make a run of each new letter, where it `takes` any, and answer those whose run has ended.

    One that is refused keeps no other one back.
    """
    repository = await factory.services.project(project)
    answered = await repository.texts("refs/heads/main", OUTBOX)
    taken: list[str] = []
    written = unusable = 0
    for letter in await inbox.letters(repository):
        if letter.problem:
            unusable += 1
        elif letter.answer not in answered:
            known = await factory.services.runs.by_mail(project, letter.key)
            if known is not None:
                written += await answer(factory, repository, letter, known.id)
            elif takes:
                try:
                    taken.append(await take(factory, project, repository, letter, work, by=by))
                except BadInput:
                    unusable += 1
    return Round(tuple(taken), written, unusable)


async def take(
    factory: Factory, project: str, repository: Repository, letter: Letter, work: Work, *, by: str
) -> str:
    """The letter's run; recorded now, if it was not before. `work` says what it is given beside the text."""
    async with FileLock(repository.path.parent / "mail.lock").held():
        if known := await factory.services.runs.by_mail(project, letter.key):
            return known.id
        # Kept before anything comes of it: the person's file may be gone tomorrow.
        path = f"{INBOX}/{letter.name}"
        await repository.post_to_main({path: letter.text.encode()}, message=f"Mail: {letter.name}")
        faults.point("mail.received")
        return await give(factory, project, letter.text, work, by=by, mail=letter.key)


async def answer(factory: Factory, repository: Repository, letter: Letter, run_id: str) -> bool:
    """Write the answer into the outbox, once, when the run has ended; whether it has."""
    summary = await factory.summary(run_id)
    if summary.status not in ENDED:
        return False
    text = _answer(letter, run_id, summary)
    await repository.post_to_main({letter.answer: text.encode()}, message=f"Mail: answer to {letter.name}")
    faults.point("mail.answered")
    return True


def _answer(letter: Letter, run_id: str, summary: RunSummary) -> str:
    asked = "\n".join(f"> {line}" for line in letter.text.strip()[:_MOST_SHOWN].split("\n"))
    lines = [
        "---",
        f"in-reply-to: {INBOX}/{letter.name}",
        f"run: {run_id}",
        f"status: {summary.status}",
        "---",
    ]
    lines += ["", f"# {summary.status}", ""]
    if summary.failure:
        lines += [f"Why: {plain(summary.failure, 1_000)}", ""]
    if summary.tag:
        lines += [f"The result is tagged `{summary.tag}`.", ""]
    done = [f"- {stage.team}: {stage.verdict}" for stage in summary.stages if stage.verdict]
    return "\n".join([*lines, *done, "", f"All of it: `factory show {run_id}`", "", asked, ""])
