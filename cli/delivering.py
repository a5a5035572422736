"""`factory mail deliver`: each file of the inbox becomes a run, and its outcome stands in the outbox."""

from __future__ import annotations

from cli.driving import to_the_end
from cli.mail import opened
from cli.screen import Screen
from cli.whoami import whoami
from core import faults
from core.settings import Settings
from graph.lifecycle import ENDED
from graph.runner import Factory
from graph.summary import RunSummary
from workspace.locks import FileLock
from workspace.mail import inbox
from workspace.mail.inbox import Letter
from workspace.mail.message import INBOX, OUTBOX, is_mail, plain
from workspace.repository import Repository

_MOST_SHOWN = 2_000


async def deliver(project: str, *, pipeline: str, model: str | None, as_json: bool) -> int:
    """Deliver, drive and answer every letter; returns the exit code of the worst: 0 where all completed.

    A letter is known by its name and text: delivered twice, or by two processes at once, it is one run.
    """
    screen = Screen(as_json)
    repository = await opened(project)
    letters = await inbox.letters(repository)
    answered = await repository.texts("refs/heads/main", OUTBOX)
    codes: list[int] = [0]
    async with Factory.open(Settings.load(), model=model) as factory:
        screen.announce(factory.announcements)
        for letter in letters:
            if letter.problem:
                screen.note(f"inbox/{plain(letter.name, 80)}: {plain(letter.problem, 200)}", style="yellow")
                codes.append(2)
            elif letter.answer not in answered:
                run_id = await _submitted(factory, project, repository, letter, pipeline)
                screen.note(f"inbox/{plain(letter.name, 80)}: run {run_id}", style="bold")
                codes.append(await to_the_end(factory, run_id, screen))
                await answer(factory, repository, letter, run_id)
    return max(codes)


async def _submitted(
    factory: Factory, project: str, repository: Repository, letter: Letter, pipeline: str
) -> str:
    """The letter's run; recorded now, if it was not before."""
    async with FileLock(repository.path.parent / "mail.lock").held():
        if known := await factory.services.runs.by_mail(project, letter.key):
            return known.id
        # Kept before anything comes of it: the person's file may be gone tomorrow.
        path = f"{INBOX}/{letter.name}"
        await repository.post_to_main({path: letter.text.encode()}, message=f"Mail: {letter.name}")
        faults.point("mail.received")
        # To a project that holds something a letter asks for a change of it.
        if any(not is_mail(path) for path in await repository.files("refs/heads/main")):
            return await factory.change(project, letter.text, pipeline=pipeline, by=whoami(), mail=letter.key)
        return await factory.submit(
            letter.text, project=project, pipeline=pipeline, by=whoami(), mail=letter.key
        )


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
