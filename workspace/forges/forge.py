"""What a release asks of a forge, whichever it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, cast

from workspace.forges.errors import ForgeRefused
from workspace.forges.wire import Wire

_ELSEWHERE = "Look at api and forge in project.toml"


@dataclass(frozen=True, slots=True)
class Draft:
    """A pull request that is to be."""

    branch: str
    base: str
    title: str
    body: str
    """Markdown."""


@dataclass(frozen=True, slots=True)
class PullRequest:
    """A pull request (GitLab: merge request) that is there."""

    number: int
    url: str
    """Where a person reads it; empty where the forge said nothing that can be shown."""
    state: str
    """open, closed or merged."""


class Forge(Protocol):
    """One repository at a forge. Raises the errors of `workspace.forges.errors`."""

    @property
    def wire(self) -> Wire:
        """The connection."""
        ...

    async def default_branch(self) -> str:
        """The branch that the forge shows first."""
        ...

    async def find(self, branch: str, base: str) -> list[PullRequest]:
        """The pull requests from `branch` into `base`, closed ones too, the newest first."""
        ...

    async def create(self, draft: Draft) -> PullRequest:
        """Open one, in one request that is not repeated."""
        ...


def rows(value: Any) -> list[dict[str, Any]]:
    """A list of objects as a forge answers it; raises ForgeRefused for anything else."""
    if not isinstance(value, list) or not all(isinstance(row, dict) for row in cast(list[Any], value)):
        raise ForgeRefused("The forge answered with no list", todo=_ELSEWHERE)
    return cast(list[dict[str, Any]], value)


def text(value: Any, *path: str) -> str:
    """The text under nested keys; raises ForgeRefused where there is none."""
    for name in path:
        value = cast(dict[str, Any], value).get(name) if isinstance(value, dict) else None
    if not isinstance(value, str):
        raise ForgeRefused(f"The forge answered without {'.'.join(path)}", todo=_ELSEWHERE)
    return value


def pull_request(row: Any, number: str, url: str, state: str) -> PullRequest:
    """A pull request from its row."""
    told = cast(dict[str, Any], row) if isinstance(row, dict) else {}
    found, address = told.get(number), told.get(url)
    if not isinstance(found, int):
        raise ForgeRefused(f"The forge answered without {number}", todo=_ELSEWHERE)
    shown = isinstance(address, str) and address.startswith(("https://", "http://")) and len(address) <= 2000
    return PullRequest(found, str(address) if shown and str(address).isprintable() else "", state)
