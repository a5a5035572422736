"""`factory mail`: read a project's mail, and write into it. Nothing here decides anything."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import cast

from cli import records
from cli import requirement as requirements
from cli.records import Records
from cli.screen import Screen, one_line, table
from cli.whoami import whoami
from core import clock
from core.errors import BadInput, NotFound
from core.json import JsonObject
from core.settings import Settings
from graph.mailing import Mailing, mail_of
from workspace.errors import ProjectNameInvalid
from workspace.files import Files
from workspace.mail import inbox, reading
from workspace.mail.message import FOLDER, INBOX, PERSON, Message, plain
from workspace.mail.reading import Thread
from workspace.projects import Workspace, is_project_name
from workspace.repository import Repository

_BRANCHES = 50
"""Runs, the newest first, whose branches are read."""


class ThreadUnknown(NotFound):
    """There is no thread of that id."""


class NoteInvalid(BadInput):
    """The note cannot be sent."""


async def show_list(project: str, *, as_json: bool) -> int:
    """Print the threads and the inbox; returns 0."""
    screen = Screen(as_json)
    async with records.opened() as kept:
        repository = await opened(project)
        files = await _files(repository)
        threads = reading.threads(reading.messages(files))
        waiting = await _inbox(kept, project, repository)
        strange = await _strange(kept, [message for thread in threads for message in thread.messages], files)
    if as_json:
        told = [
            {"thread": each.id, "run": each.messages[0].run, "kind": each.messages[0].kind}
            | {"status": each.status, "subject": each.subject, "messages": len(each.messages)}
            for each in threads
        ]
        screen.result(cast(JsonObject, {"project": project, "threads": told, "inbox": waiting}))
        return 0
    shown = table("thread", "status", "messages", "subject")
    for each in threads:
        mark = "? " if any(message.path in strange for message in each.messages) else ""
        shown.add_row(each.id, each.status, str(len(each.messages)), mark + one_line(each.subject, 70))
    screen.out.print(shown) if threads else screen.say("No threads.")
    for each in waiting:
        screen.say(one_line(f"inbox/{each['name']}: {each['state']}"))
    if strange:
        screen.note("?: this factory's log does not know a message of it as it is", style="yellow")
    return 0


async def show(project: str, thread: str, *, as_json: bool) -> int:
    """Print a thread; returns 0."""
    screen = Screen(as_json)
    async with records.opened() as kept:
        files = await _files(await opened(project))
        found = _thread(reading.threads(reading.messages(files)), thread)
        strange = await _strange(kept, found.messages, files)
    if as_json:
        told = [mail_of(message) | {"known": message.path not in strange} for message in found.messages]
        screen.result(cast(JsonObject, {"thread": found.id, "status": found.status, "messages": told}))
        return 0
    for message in found.messages:
        _print(screen, message, message.path in strange)
    return 0


async def find(project: str, query: str, *, as_json: bool) -> int:
    """Print the messages that hold every word; returns 0."""
    screen = Screen(as_json)
    found = reading.search(reading.messages(await _files(await opened(project))), query)
    if as_json:
        screen.result(cast(JsonObject, {"query": query, "messages": [mail_of(each) for each in found]}))
        return 0
    for message in found:
        screen.say(one_line(f"{message.thread}  {message.created[:16]}  {message.subject}", 110))
        words = query.casefold().split()
        line = next((each for each in message.body.split("\n") if words[0] in each.casefold()), "")
        screen.read(f"  {one_line(line, 100)}") if line else None
    if not found:
        screen.say("Nothing found.")
    return 0


_NOTE = requirements.Meant(
    "The note",
    "Nothing was written",
    "Say it in a few pages, and put the material into the repository",
    'Give it in words: factory mail send PROJECT "…"',
)


async def send(
    project: str, body: str, *, to: str | None, run: str | None, subject: str, as_json: bool
) -> int:
    """Leave a note for a team of a run, or an objective in the inbox; returns 0."""
    screen = Screen(as_json)
    text = requirements.read_stream(sys.stdin.buffer, "standard input", _NOTE) if body == "-" else body
    if not text.strip():
        raise NoteInvalid("The text is empty", untouched="Nothing was written")
    if (to is None) != (run is None):
        raise NoteInvalid(
            "A note needs both --run and --to; an objective neither", untouched="Nothing was written"
        )
    repository = await opened(project)
    if to is None or run is None:
        name = f"{clock.new_id('mail')}.md"
        head = f"# {plain(subject, 200)}\n\n" if subject else ""
        await asyncio.to_thread(Files(repository.path).write, f"{INBOX}/{name}", head + text.strip() + "\n")
        screen.result({"inbox": name}) if as_json else screen.say(
            f"{INBOX}/{name} is written; make a run of it with: factory mail deliver {project}"
        )
        return 0
    async with records.opened() as kept:
        found = await kept.run(run)
        if found.project != project:
            raise NoteInvalid(f"Run {found.id} is not one of {project}", untouched="Nothing was written")
        mailing = Mailing(kept.events, repository, found.id)
        key = f"{PERSON}/{clock.new_id('note')}"
        sender = f"{PERSON} ({whoami()})"
        sent = await mailing.post(
            "note", key, key, sender=sender, to=[to], subject=subject or text, body=text, status="open"
        )
    screen.result(cast(JsonObject, mail_of(sent))) if as_json else screen.say(f"sent {sent.thread}")
    return 0


async def opened(project: str) -> Repository:
    """A project's repository. Raises ProjectNameInvalid and NotFound; makes none."""
    if not is_project_name(project):
        raise ProjectNameInvalid(
            f"{project[:80]!a} is no project name", todo=ProjectNameInvalid.__doc__ or ""
        )
    workspace = Workspace(Settings.load())
    if not workspace.has(project):
        raise NotFound(f"There is no project {project!r}", todo="Start one with `factory run`")
    return await workspace.project(project)


async def _files(repository: Repository) -> dict[str, str]:
    """The files of mail on main and on the branches of the newest runs, by path."""
    texts = await repository.texts("refs/heads/main", FOLDER)
    for run in (await repository.runs())[-_BRANCHES:]:
        texts |= await repository.texts(f"refs/heads/factory/{run}", FOLDER)
    return texts


def _thread(threads: Sequence[Thread], wanted: str) -> Thread:
    found = [each for each in threads if each.id.startswith(wanted)]
    exact = [each for each in found if each.id == wanted]
    if len(exact or found) != 1:
        what = "Several threads start" if found else "No thread starts"
        raise ThreadUnknown(f"{what} with {wanted[:80]!a}", todo="List them with `factory mail list`")
    return (exact or found)[0]


async def _strange(kept: Records, messages: Sequence[Message], files: Mapping[str, str]) -> set[str]:
    """The paths of messages whose files this factory's log does not know: somebody else wrote, or changed,
    them."""
    known: set[tuple[str, str]] = set()
    for run in {message.run for message in messages}:
        for event in await kept.events.read(run, kinds=["mail.posted"]):
            known.add((str(event.payload["path"]), str(event.payload["sha256"])))
    paths = {message.path for message in messages}
    return {path for path in paths if (path, sha256(files[path].encode()).hexdigest()) not in known}


async def _inbox(kept: Records, project: str, repository: Repository) -> list[dict[str, str]]:
    told: list[dict[str, str]] = []
    for letter in await inbox.letters(repository):
        run = await kept.runs.by_mail(project, letter.key)
        state = "not delivered" if run is None else f"{run.id} {run.status}"
        told.append({"name": letter.name, "state": letter.problem or state})
    return told


def _print(screen: Screen, message: Message, strange: bool) -> None:
    screen.say(
        one_line(f"{message.sender} → {', '.join(message.to)}  ({message.created[:19]})"), style="bold"
    )
    screen.say(one_line(f"{message.kind}, {message.status}: {message.subject}", 200))
    if strange:
        screen.note(
            "The log does not know this message as it is: somebody else wrote or changed it.",
            style="yellow",
        )
    screen.read(message.body)
    for path in message.attachments:
        screen.say(one_line(f"attached: {path}"))
    screen.say()
