"""One message: what it says of itself, its text, and the file that holds it.

A message's file is written once and never changed, under a name that its run and key decide. So two runs, or
two stages of a wave, never touch the same file, and who writes it again after a crash writes the same name.
"""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

from core.json import is_array
from core.redaction import redact
from workspace.posting import MAIL

Kind = Literal["clarification", "review", "incident", "hand-off", "note"]
Status = Literal["open", "answered", "closed"]

FOLDER: Final = MAIL
INBOX: Final = f"{FOLDER}/inbox"
OUTBOX: Final = f"{FOLDER}/outbox"
PERSON: Final = "person"

MOST_BODY: Final = 20_000
MOST_SUBJECT: Final = 200
LARGEST: Final = 100_000
"""Bytes of a message's file; what is larger is none of ours."""

_CONTROLS = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,79}")


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a thread."""

    run: str
    thread: str
    """The same in all messages of a thread: its kind and a digest."""
    id: str
    """The thread, a stroke, and a digest of its own."""
    kind: Kind
    sender: str
    to: tuple[str, ...]
    subject: str
    body: str
    status: Status
    """What became of the thread with this message."""
    created: str
    """A time as ISO 8601 writes it."""
    in_reply_to: str = ""
    attachments: tuple[str, ...] = ()
    """Paths in the repository."""

    @property
    def path(self) -> str:
        """Where its file lies in the repository."""
        return f"{FOLDER}/{self.run}/{self.id.replace('/', '.')}.md"


def is_mail(path: str) -> bool:
    """Whether a path of a repository is the factory's own, which no team writes."""
    return path.casefold().split("/")[0] == ".factory"


def thread_of(kind: Kind, key: str) -> str:
    """The thread that a key names within its run."""
    return f"{kind}-{_digest(key)}"


def compose(
    *,
    run: str,
    kind: Kind,
    thread_key: str,
    key: str,
    sender: str,
    to: Sequence[str],
    subject: str,
    body: str,
    status: Status,
    created: str,
    in_reply_to: str = "",
    attachments: Sequence[str] = (),
) -> Message:
    """A message that is fit to be kept: no secrets, no control characters, not too long."""
    thread = thread_of(kind, thread_key)
    return Message(
        run=run,
        thread=thread,
        id=f"{thread}/{_digest(key)}",
        kind=kind,
        sender=plain(sender, 80),
        to=tuple(plain(each, 80) for each in to),
        subject=plain(subject, MOST_SUBJECT) or "(no subject)",
        body=_kept(body),
        status=status,
        created=created,
        in_reply_to=in_reply_to,
        attachments=tuple(attachments),
    )


def head(message: Message) -> dict[str, Any]:
    """What a message says of itself, by the names that the file and a program read."""
    return {
        "id": message.id,
        "thread": message.thread,
        "kind": message.kind,
        "run": message.run,
        "from": message.sender,
        "to": list(message.to),
        "subject": message.subject,
        "status": message.status,
        "created": message.created,
    }


def render(message: Message) -> str:
    """The file's text. Each value of the front matter is one line of JSON, which is YAML too."""
    fields = head(message) | {"in-reply-to": message.in_reply_to}
    if message.attachments:
        fields["attachments"] = list(message.attachments)
    lines = [f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in fields.items()]
    return "\n".join(["---", *lines, "---", "", message.body.strip("\n"), ""])


def parse(path: str, text: str) -> Message | None:
    """The message in a file; None where it holds none. The text may be anybody's: nothing of it is believed
    beyond its form, and the file must lie where a message of that run and id lies."""
    fields: dict[str, Any] = {}
    lines = text.split("\n")
    if lines[0] != "---" or "---" not in lines[1:40]:
        return None
    end = lines.index("---", 1)
    try:
        for line in lines[1:end]:
            name, _, value = line.partition(": ")
            fields[name] = json.loads(value)
        message = Message(
            run=_word(fields["run"]),
            thread=_word(fields["thread"]),
            id=str(fields["id"]),
            kind=_one_of(fields["kind"], get_args(Kind)),
            sender=plain(str(fields["from"]), 80),
            to=tuple(plain(str(each), 80) for each in _listed(fields["to"])),
            subject=plain(str(fields["subject"]), MOST_SUBJECT),
            body=_kept("\n".join(lines[end + 1 :]).strip("\n")),
            status=_one_of(fields["status"], get_args(Status)),
            created=plain(str(fields["created"]), 40),
            in_reply_to=plain(str(fields.get("in-reply-to", "")), 160),
            attachments=tuple(plain(str(each), 300) for each in _listed(fields.get("attachments", []))),
        )
    except (KeyError, ValueError, RecursionError):
        return None
    return message if message.path == path and message.id.startswith(f"{message.thread}/") else None


def plain(text: str, most: int) -> str:
    """One line without secrets, control characters and direction overrides."""
    line = " ".join(_CONTROLS.sub(" ", redact(text)).split())
    return line if len(line) <= most else line[: most - 1] + "…"


def _kept(text: str) -> str:
    text = _CONTROLS.sub("", redact(text.replace("\r\n", "\n")))
    return text if len(text) <= MOST_BODY else text[:MOST_BODY] + "\n\n… (cut)"


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def _word(value: Any) -> str:
    if not isinstance(value, str) or not _NAME.fullmatch(value) or ".." in value:
        raise ValueError(value)
    return value


def _one_of(value: Any, allowed: tuple[Any, ...]) -> Any:
    if value not in allowed:
        raise ValueError(value)
    return value


def _listed(value: Any) -> list[Any]:
    if not is_array(value) or len(value) > 20:
        raise ValueError(value)
    return list(value)
