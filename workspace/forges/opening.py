"""Connects to a remote's forge, and opens a pull request exactly once."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

from workspace.errors import WorkspaceError
from workspace.forges.errors import ForgeRefused
from workspace.forges.forge import Draft, Forge, PullRequest
from workspace.forges.gitea import Gitea
from workspace.forges.github import GitHub
from workspace.forges.gitlab import GitLab
from workspace.forges.wire import Patience, Wire
from workspace.remote import Remote

_CLIENTS = {"github": GitHub, "gitlab": GitLab, "gitea": Gitea}


@asynccontextmanager
async def connect(
    remote: Remote, token: str | None, patience: Patience | None = None
) -> AsyncGenerator[Forge]:
    """The forge of a remote."""
    client = _CLIENTS[remote.forge]
    wire = Wire(remote.endpoint, client.headers(token), token=token, patience=patience or Patience())
    async with wire:
        yield client(wire, remote.path)


async def request(forge: Forge, draft: Draft) -> PullRequest:
    """The pull request for the draft's branch: the one there is, or a new one; never a second.

    One that a person has closed or merged meanwhile counts: the branch is a single run's. Creating is
    repeated only after another look, since a request whose answer was lost may have been carried out.
    """

    async def attempt() -> PullRequest:
        if found := await forge.find(draft.branch, draft.base):
            return _of_these(found)
        try:
            return await forge.create(draft)
        except ForgeRefused:
            # Somebody was quicker between the look and the request.
            if found := await forge.find(draft.branch, draft.base):
                return _of_these(found)
            raise

    if draft.branch == draft.base:
        raise WorkspaceError(f"A pull request cannot go from {draft.base} into itself")
    return await forge.wire.patiently(attempt)


def _of_these(found: Sequence[PullRequest]) -> PullRequest:
    """The one that is open, else the newest."""
    return next((one for one in found if one.state == "open"), found[0])


async def default_branch(forge: Forge) -> str:
    """The branch that the forge shows first."""
    return await forge.wire.patiently(forge.default_branch)
