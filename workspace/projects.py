"""The projects of one factory home."""

from __future__ import annotations

import re
from pathlib import Path

from core.settings import Settings
from workspace.errors import ProjectNameInvalid
from workspace.repository import Repository

_PROJECT = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


class Workspace:
    """The projects of one factory home."""

    def __init__(self, settings: Settings) -> None:
        self._folder = settings.home / "projects"
        self._projects: dict[str, Repository] = {}

    def has(self, name: str) -> bool:
        """Whether the project has a repository."""
        return _PROJECT.fullmatch(name) is not None and (self._folder / name / "repository").is_dir()

    def names(self) -> list[str]:
        """The names of the projects that there are, in order."""
        return sorted(found.parent.parent.name for found in self._folder.glob("*/repository/.git"))

    async def project(self, name: str, *, source: Path | None = None) -> Repository:
        """The project's repository, made at first: empty, or from `source`, a git repository of the user.

        Of `source` what HEAD has is taken; its working copy, configuration and hooks are neither used nor
        touched, and once the project exists it is not looked at again.
        Raises ProjectNameInvalid and SourceInvalid.
        """
        if not is_project_name(name):
            raise ProjectNameInvalid(
                f"{name[:80]!a} is no project name", todo=ProjectNameInvalid.__doc__ or ""
            )
        repository = self._projects.setdefault(name, Repository(name, self._folder / name))
        await repository.create(source)
        return repository


def is_project_name(name: str) -> bool:
    """Whether a project can be called so."""
    return _PROJECT.fullmatch(name) is not None
