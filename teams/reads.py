"""What an operative has seen of each file in its stage: nobody replaces a file unseen.

Known from the stored history alone: every read and write leaves the hash of the file in its message's
artifact. So a node that runs again, in another process, knows what the first one knew.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from typing import Any

from langchain_core.messages import BaseMessage, ToolMessage

from core.json import is_object
from workspace.errors import FileMissing, StaleRead
from workspace.files import Files


class Reads:
    """Path → the hash of the content that the operative has read or written last."""

    def __init__(self, messages: Iterable[BaseMessage] = ()) -> None:
        self._seen: dict[str, str] = {}
        for message in messages:
            artifact: Any = message.artifact if isinstance(message, ToolMessage) else None
            if is_object(artifact) and artifact.get("ok") and isinstance(artifact.get("sha256"), str):
                self._seen[str(artifact.get("path"))] = artifact["sha256"]

    def saw(self, path: str, content: bytes) -> str:
        """Note that the operative knows the file to have this content; gives the hash for the artifact."""
        self._seen[path] = digest = sha256(content).hexdigest()
        return digest

    def current(self, path: str, content: bytes) -> bool:
        """Whether the operative has seen just this content."""
        return self._seen.get(path) == sha256(content).hexdigest()

    def check(self, files: Files, path: str, new: bytes) -> None:
        """Refuse to replace a file that the operative does not know as it is; raises StaleRead.

        A file that is not there, or has the new content already, loses nothing. Blocks.
        """
        try:
            now = files.read_bytes(path)
        except FileMissing:
            return
        if now == new or self.current(path, now):
            return
        why = "has changed since you read it" if path in self._seen else "exists, and you have not read it"
        raise StaleRead(
            f"{path} {why}",
            untouched="Nothing was written",
            todo="Read it with read_file, then write it again with what must stay of it",
        )
