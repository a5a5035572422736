"""What lies in a backup: a manifest, the database, each repository, and the other files of the home."""

from __future__ import annotations

import hashlib
from pathlib import Path, PurePosixPath
from typing import Final

from pydantic import BaseModel, ConfigDict

from workspace.errors import WorkspaceError

MANIFEST: Final = "manifest.json"
DATABASE: Final = "database.dump"
REPOSITORIES: Final = "repositories"
HOME: Final = "home"
FORMAT: Final = 1
_NOT_KEPT: Final = frozenset({"worktrees", "spares", "stages", "repository", "lock", "repository.new"})


class BackupInvalid(WorkspaceError):
    """The file is no backup of a factory, or was damaged."""

    http_status = 422

    exit_code = 2


class Manifest(BaseModel):
    """What a backup says of itself."""

    model_config = ConfigDict(extra="forbid")

    format: int
    version: str
    """Of the factory that wrote it."""
    schema_version: str
    made_at: str
    home: str
    """Where the home lay."""
    service_role: bool
    """Whether the database's rights name the role factory_service."""
    repositories: dict[str, str]
    """What HEAD of each project's repository points to."""
    files: dict[str, str]
    """The SHA-256 of every other member."""


def is_kept(relative: PurePosixPath) -> bool:
    """Whether a file of the home belongs into a backup as it is.

    Not the database's own files, not repositories (they are bundled), not what stages work in.
    """
    parts = relative.parts
    if parts[0] == "postgres":
        return False
    return not (parts[0] == "projects" and len(parts) > 2 and parts[2] in _NOT_KEPT)


def digest(path: Path) -> str:
    """The SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
