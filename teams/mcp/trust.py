"""Which projects' MCP servers a person has trusted.

A repository may come from anywhere, and teams write in it. So what its `project.toml` declares is a wish
until a person has said yes to exactly that; changed by a letter, it is a wish again.
"""

from __future__ import annotations

import json
import os

from pydantic import BaseModel, ValidationError

from core import clock
from core.settings import Settings
from teams.mcp.declared import Declared


class Trusted(BaseModel):
    """What a person said yes to."""

    digest: str
    high: list[str]
    """The HIGH tools that were approved, as `SERVER/TOOL`."""
    by: str
    at: str


class Trust:
    """The projects that are trusted, in a file of the factory's home."""

    def __init__(self, settings: Settings) -> None:
        self._file = settings.home / "mcp" / "trust.json"

    def of(self, project: str, declared: Declared) -> Trusted | None:
        """What a person said about exactly this declaration; None where nobody did."""
        trusted = self._all().get(project)
        return trusted if trusted is not None and trusted.digest == declared.digest else None

    def give(self, project: str, declared: Declared, *, high: list[str], by: str) -> Trusted:
        """Record a person's yes."""
        trusted = Trusted(digest=declared.digest, high=high, by=by, at=clock.now().isoformat())
        every = {**self._all(), project: trusted}
        self._file.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._file.with_suffix(f".{os.getpid()}.new")
        fresh.write_text(json.dumps({name: found.model_dump() for name, found in every.items()}, indent=1))
        fresh.rename(self._file)
        return trusted

    def _all(self) -> dict[str, Trusted]:
        try:
            found = json.loads(self._file.read_text())
            return {str(name): Trusted.model_validate(entry) for name, entry in found.items()}
        except (OSError, ValueError, AttributeError, ValidationError):
            return {}  # nothing that can be read is nothing that was trusted
