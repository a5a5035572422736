"""Files that a person dropped into `.factory/mail/inbox/`, in the checkout of main or committed to main."""

import asyncio
from dataclasses import dataclass
from hashlib import sha256
from pathlib import PurePosixPath

from core.redaction import redact
from workspace.errors import WorkspaceError
from workspace.files import Files
from workspace.mail.message import INBOX, OUTBOX
from workspace.repository import Repository

MOST: int = 100_000
"""Bytes of a letter, as of any requirement."""
MOST_LETTERS: int = 200
_MOST_STEM = 200
"""Bytes: with key and ending, what a file system takes as a name."""


@dataclass(frozen=True, slots=True)
class Letter:
    """One file of the inbox."""

    name: str
    text: str
    problem: str = ""
    """Why it cannot be made into a run."""

    @property
    def key(self) -> str:
        """Names this file with just this content: the same text again is the same letter."""
        return sha256(f"{self.name}\0{self.text}".encode()).hexdigest()[:16]

    @property
    def answer(self) -> str:
        """Where its answer lies."""
        stem = PurePosixPath(self.name).stem.encode()[:_MOST_STEM].decode(errors="ignore")
        return f"{OUTBOX}/{stem}.{self.key}.md"


async def letters(repository: Repository) -> list[Letter]:
    """What lies in the inbox, by name. What the checkout has counts before what main has."""
    main = await repository.texts("refs/heads/main", INBOX)
    dropped = await asyncio.to_thread(_dropped, repository)
    committed = {path.removeprefix(f"{INBOX}/"): text for path, text in main.items()}
    found = {name: _letter(name, text) for name, text in committed.items() if "/" not in name} | dropped
    return [_named(found[name]) for name in sorted(found)[:MOST_LETTERS]]


def _dropped(repository: Repository) -> dict[str, Letter]:
    """The files in the checkout: hostile like any, so opened beneath it and never through a link."""
    folder = repository.path / INBOX
    if any((repository.path / part).is_symlink() for part in (".factory", ".factory/mail", INBOX)):
        return {}
    if not folder.is_dir():
        return {}
    files, found = Files(repository.path), dict[str, Letter]()
    for entry in sorted(folder.iterdir())[:MOST_LETTERS]:
        name = entry.name
        if name.startswith(".") or not name.endswith((".md", ".txt")):
            continue
        try:
            found[name] = _letter(name, files.read(f"{INBOX}/{name}", limit=MOST))
        except (WorkspaceError, OSError) as error:
            found[name] = Letter(name, "", str(error))
    return found


def _letter(name: str, text: str) -> Letter:
    text = redact(text)
    return Letter(name, text, "" if text.strip() else "it is empty")


def _named(letter: Letter) -> Letter:
    """The letter, or that its name is none that can stand in a line, a commit or an answer."""
    if letter.name.isprintable():
        return letter
    return Letter(ascii(letter.name)[1:-1], "", "its name has characters that cannot be shown")
