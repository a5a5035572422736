"""`factory mail deliver`: each file of the inbox becomes a run, and its outcome stands in the outbox."""

from __future__ import annotations

from cli.driving import to_the_end
from cli.mail import opened
from cli.screen import Screen
from cli.whoami import whoami
from core.settings import Settings
from graph import letters
from graph.runner import Factory
from graph.schedules import Work
from workspace.mail import inbox
from workspace.mail.message import OUTBOX, plain


async def deliver(project: str, *, pipeline: str, model: str | None, as_json: bool) -> int:
    """Deliver, drive and answer every letter; returns the exit code of the worst: 0 where all completed.

    A letter is known by its name and text: delivered twice, or by two processes at once, it is one run.
    """
    screen = Screen(as_json)
    repository = await opened(project)
    found = await inbox.letters(repository)
    answered = await repository.texts("refs/heads/main", OUTBOX)
    codes: list[int] = [0]
    async with Factory.open(Settings.load(), model=model) as factory:
        screen.announce(factory.announcements)
        for letter in found:
            if letter.problem:
                screen.note(f"inbox/{plain(letter.name, 80)}: {plain(letter.problem, 200)}", style="yellow")
                codes.append(2)
            elif letter.answer not in answered:
                work = Work(pipeline=pipeline)
                run_id = await letters.take(factory, project, repository, letter, work, by=whoami())
                screen.note(f"inbox/{plain(letter.name, 80)}: run {run_id}", style="bold")
                codes.append(await to_the_end(factory, run_id, screen))
                await letters.answer(factory, repository, letter, run_id)
    return max(codes)
