"""What the graph writes into the project's mail: questions between teams, a person's decisions, hand-offs.

A message tells what happened elsewhere; nothing is ever decided by one. Each is written under a key, so a
node that runs twice writes it once, and each is an event with the hash of its file, so a file which nobody
here wrote can be told from one that was.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import PurePosixPath
from typing import Any, Final

from core import clock, faults
from core.errors import BadInput
from core.events import Entry, EventLog
from core.json import JsonObject, is_array
from governance.approvals import Approval
from teams.contract import TaskResult
from teams.team import Team
from workspace.mail import reading
from workspace.mail.message import FOLDER, PERSON, Kind, Message, Status, compose, head, plain, render
from workspace.repository import Repository

FACTORY: Final = "factory"
"""Who writes what no team and no person says."""

_KINDS: dict[str, Kind] = {"review": "review"}
_LISTED: Final = 40
"""Files that a hand-off names."""
_IN_BRIEF: Final = 8
"""Open messages that a brief tells of."""
_LINE: Final = 400
"""Characters of each."""
MOST_ATTACHED: Final = 5_000_000
"""Bytes of one attachment."""
ATTACHED: Final = "attachments"
"""In the detail of a question: the paths in the repository of what goes with its message."""


class AttachmentRefused(BadInput):
    """A file cannot be attached to a thread."""


@dataclass(frozen=True)
class Mailing:
    """The mail of one run."""

    events: EventLog
    repository: Repository
    run_id: str

    async def post(
        self,
        kind: Kind,
        thread: str,
        key: str,
        *,
        sender: str,
        to: Sequence[str],
        subject: str,
        body: str,
        status: Status,
        reply: bool = False,
        attachments: Sequence[str] = (),
    ) -> Message:
        """Write one message of the thread that `thread` names, once, on the run's branch."""
        message = await self._composed(
            kind, thread, key, sender, to, subject, body, status, reply, attachments
        )
        await self.repository.post(
            self.run_id, {message.path: render(message).encode()}, message=f"Mail: {message.subject}"
        )
        faults.point("mail.posted")
        await self.events.append_all(self.run_id, [await self.told(message)])
        return message

    async def attach(self, name: str, content: bytes) -> str:
        """Keep a file, such as a picture, beside the run's mail; gives the path that `post` takes.

        Raises AttachmentRefused.
        """
        if len(content) > MOST_ATTACHED:
            raise AttachmentRefused(f"{name[:80]!a} has more than {MOST_ATTACHED} bytes")
        kept = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "-" for c in name)[-80:].lstrip(
            ".-"
        )
        path = f"{FOLDER}/{self.run_id}/attachments/{sha256(content).hexdigest()[:12]}-{kept or 'file'}"
        await self.repository.post(self.run_id, {path: content}, message=f"Mail: attach {plain(name, 80)}")
        faults.point("mail.attached")
        return path

    async def asked(self, approval: Approval) -> None:
        """A question that waits for a person, as the first message of its thread.

        The paths in `attachments` of its detail, which `attach` gave, go with it.
        """
        kind, thread = _KINDS.get(approval.kind, "incident"), f"approval/{approval.key}"
        listed = approval.detail.get(ATTACHED)
        attachments = [str(each) for each in listed] if is_array(listed) else []
        names = [PurePosixPath(path).name for path in attachments]
        shown = [f"![{name}](attachments/{name})" for name in names]
        decide = f"Decide with `factory answer`, `approve` or `reject` ({approval.id}), not by mail."
        await self.post(
            kind,
            thread,
            f"{thread}/asked",
            sender=approval.team or FACTORY,
            to=[PERSON],
            subject=approval.title,
            body="\n\n".join([approval.question, *shown, decide]),
            status="open",
            attachments=attachments,
        )

    async def decided(self, approval: Approval) -> None:
        """What was decided about it."""
        kind, thread = _KINDS.get(approval.kind, "incident"), f"approval/{approval.key}"
        by = approval.decided_by or FACTORY
        await self.asked(approval)  # a question of a process that was killed before it could write it
        await self.post(
            kind,
            thread,
            f"{thread}/decided",
            sender=f"{PERSON} ({by})",
            to=[approval.team or FACTORY],
            subject=f"Re: {approval.title}",
            body=f"{approval.decision}: {approval.answer or '(no words)'}",
            status="closed",
            reply=True,
        )

    async def hand_off(
        self, team: Team, key: str, to: Sequence[str], result: TaskResult | None, files: Sequence[str]
    ) -> Message:
        """What a team hands on. It is committed with the team's work, so it is only composed here."""
        facts = [f"- {fact}" for fact in result.verified_facts] if result else []
        assumed = [f"- {each}" for each in result.assumptions_made] if result else []
        shown = [f"- `{path}`" for path in files[:_LISTED]]
        more = [f"- … and {len(files) - _LISTED} more"] if len(files) > _LISTED else []
        parts = (("Done", facts), ("Assumed", assumed), ("Files", shown + more))
        body = "\n\n".join(f"## {title}\n\n" + "\n".join(lines) for title, lines in parts if lines)
        subject, body = f"{team.name} hands on", body or "Nothing to say."
        return await self._composed("hand-off", key, key, team.id, to, subject, body, "closed", False, ())

    async def told(self, message: Message) -> Entry:
        """The event of a message that was committed."""
        # The file that counts is the one on the branch: written by an earlier try, it has that one's time.
        text = await self.repository.read(f"refs/heads/factory/{self.run_id}", message.path)
        payload: JsonObject = {
            "thread": message.thread,
            "kind": message.kind,
            "from": message.sender,
            "to": list(message.to),
            "subject": message.subject,
            "status": message.status,
            "path": message.path,
            "sha256": sha256((text or "").encode()).hexdigest(),
        }
        return Entry("mail.posted", payload, f"mail/{message.id}")

    async def all(self) -> list[Message]:
        """Every message on the run's branch, oldest first; those of earlier runs too."""
        return reading.messages(await self.repository.texts(f"refs/heads/factory/{self.run_id}", FOLDER))

    async def _composed(
        self,
        kind: Kind,
        thread: str,
        key: str,
        sender: str,
        to: Sequence[str],
        subject: str,
        body: str,
        status: Status,
        reply: bool,
        attachments: Sequence[str],
    ) -> Message:
        first = compose(
            run=self.run_id, kind=kind, thread_key=thread, key=f"{thread}/asked", sender="", to=(),
            subject="", body="", status="open", created="",
        )  # fmt: skip
        return compose(
            run=self.run_id,
            kind=kind,
            thread_key=thread,
            key=key,
            sender=sender,
            to=to,
            subject=subject,
            body=body,
            status=status,
            created=clock.now().isoformat(timespec="milliseconds"),
            in_reply_to=first.id if reply else "",
            attachments=attachments,
        )


@dataclass
class Postbox:
    """The mail as one stage's team has it: its own name stands in what it sends, whatever it says."""

    mailing: Mailing
    team: str
    known: Collection[str]
    """Whom it may write to."""
    key: str
    """Of the turn in which it works: the n-th message of a turn is the same one when the turn runs again."""
    sent: int = 0

    async def read(self, query: str) -> list[Message]:
        """The newest messages, or those that hold every word."""
        messages = await self.mailing.all()
        return reading.search(messages, query) if query.strip() else messages[::-1]

    async def send(self, to: str, subject: str, body: str) -> Message:
        """Write a note to a team or a person. Raises BadInput for somebody who is not there."""
        if to not in {*self.known, PERSON} or to == self.team:
            raise BadInput(f"there is nobody called {to[:80]!a} to write to")
        self.sent += 1
        key = f"{self.key}/{self.sent}"
        return await self.mailing.post(
            "note", key, key, sender=self.team, to=[to], subject=subject, body=body, status="open"
        )


async def open_mail(repository: Repository, commit: str, files: Collection[str], team: str) -> list[str]:
    """The open mail to a team as of a commit with these files, a line each: the newest few, shortened.

    As of a commit, so that a brief that is written again says the same.
    """
    # All other mail is answered where it is asked; without a note there is nothing to read.
    if not any(path.startswith(f"{FOLDER}/") and "/note-" in path for path in files):
        return []
    every = reading.messages(await repository.texts(commit, FOLDER))
    return [_line(message) for message in reading.waiting_for(team, every)[:_IN_BRIEF]]


def _line(message: Message) -> str:
    said = " ".join(f"{message.subject}: {message.body}".split())
    more = " … (read_mail has the rest)" if len(said) > _LINE else ""
    return f"- from {message.sender} ({message.kind}) {said[:_LINE]}{more}"


def mail_of(message: Message) -> dict[str, Any]:
    """A message for a program."""
    return head(message) | {
        "in_reply_to": message.in_reply_to,
        "attachments": list(message.attachments),
        "body": message.body,
    }
