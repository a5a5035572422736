"""Brings main up to what the remote's base branch is: only forward, or not at all."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from workspace.errors import GitFailed, RemoteDiverged, SyncFailed
from workspace.git import Git
from workspace.push import failed_at, patiently, transport
from workspace.release import update_checkout
from workspace.remote import Remote, is_branch

_MAIN = "refs/heads/main"
_FETCHED = "refs/factory/remote/base"
_STRICT = {
    # Nothing that a checkout, or a submodule, could be led astray by.
    "transfer.fsckObjects": "true",
    # Harmless, and in the history of many an old project.
    "fetch.fsck.zeroPaddedFilemode": "ignore",
    "fetch.fsck.missingSpaceBeforeDate": "ignore",
    "fetch.fsck.badTimezone": "ignore",
}


@dataclass(frozen=True, slots=True)
class Synced:
    """What came of it."""

    branch: str
    """The remote's branch."""
    before: str
    after: str
    """Where main is now; as before where the remote has nothing new."""
    ahead: int
    """Commits of main that the remote's branch has not."""
    shown: bool
    """Whether the checkout of main shows it; a person's own changes there are left alone."""


async def sync(git: Git, checkout: Path, remote: Remote, token: str | None) -> Synced:
    """Fetch the base branch and move main forward to it. The caller holds the project's lock.

    Raises RemoteDiverged where each has commits that the other has not, and SyncFailed; main stays as it was.
    """
    config, environment = transport(remote, token)
    try:
        branch = remote.base or await _default(git, remote, config, environment)
        await git.clear_stale_locks(_FETCHED)
        # To a ref of our own, whatever the remote says there is: nothing else of it is taken.
        await patiently(
            git,
            (
                *("fetch", "--quiet", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head"),
                *("--no-auto-maintenance", "--", remote.url, f"+refs/heads/{branch}:{_FETCHED}"),
            ),
            {**config, **_STRICT},
            environment,
        )
    except GitFailed as failure:
        raise SyncFailed(
            failed_at(remote, failure),
            untouched="Main is as it was",
            todo="Look at [remote] in project.toml and at the token, then try again",
        ) from None
    main, theirs = await git.resolve(_MAIN, _FETCHED)
    ahead = int((await git("rev-list", "--count", f"{theirs}..{main}")).text)
    if main == theirs or await _holds(git, main, theirs):
        return Synced(branch, main, main, ahead, True)
    if not await _holds(git, theirs, main):
        behind = (await git("rev-list", "--count", f"{main}..{theirs}")).text
        raise RemoteDiverged(
            f"Main here and {branch} at the remote have gone apart: {ahead} commits are only here, "
            f"{behind} only there",
            untouched="Main is as it was",
            todo=f"Merge {_FETCHED} into main in {checkout} by hand, or release what is here first",
        )
    await git.clear_stale_locks(_MAIN, "HEAD")
    await git("update-ref", _MAIN, theirs, main)
    return Synced(branch, main, theirs, 0, await update_checkout(git, checkout, main))


async def _default(git: Git, remote: Remote, config: dict[str, str], environment: dict[str, str]) -> str:
    """The branch that the remote's HEAD names."""
    told = await patiently(git, ("ls-remote", "--symref", "--", remote.url, "HEAD"), config, environment)
    found = re.match(r"ref: refs/heads/(\S+)\tHEAD$", told.partition("\n")[0])
    if not found or not is_branch(found[1]):
        raise GitFailed("fatal: the remote does not name a default branch; set base in project.toml")
    return found[1]


async def _holds(git: Git, commit: str, other: str) -> bool:
    return (await git("merge-base", "--is-ancestor", other, commit, ok=(0, 1))).code == 0
