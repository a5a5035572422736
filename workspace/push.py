"""Brings one commit to a branch of a remote: never over somebody else's work, and with no secret in sight.

The token travels in an HTTP header that git reads from its environment (`GIT_CONFIG_*`): it stands neither in
the address nor in the arguments, which every user of the machine can list, nor in any file.
"""

from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import Mapping
from urllib.parse import urlsplit

from core.redaction import know, redact
from workspace.errors import BranchTaken, GitFailed, PushFailed
from workspace.git import Git
from workspace.remote import Remote

LONGEST_SECONDS = 600.0

# Any name does for a token at GitHub and Gitea; GitLab wants this one for an OAuth token.
_USER = "oauth2"
_SCHEMES = ("https", "http", "ssh", "file")


async def push(git: Git, remote: Remote, token: str | None, commit: str, branch: str) -> bool:
    """Make `branch` of the remote `commit`; False where it is so already.

    Raises BranchTaken where the branch holds commits that `commit` does not, and PushFailed.
    """
    ref = f"refs/heads/{branch}"
    config, environment = transport(remote, token)
    there = await _there(git, remote, ref, config, environment)
    if there == commit:
        return False
    if there is not None and not await _holds(git, commit, there):
        raise _taken(branch)
    # Without --force: what came there since the look is refused by the remote itself.
    arguments = ("push", "--quiet", "--no-verify", "--no-follow-tags", "--recurse-submodules=no")
    try:
        await patiently(git, (*arguments, "--", remote.url, f"{commit}:{ref}"), config, environment)
    except GitFailed as failure:
        if any(word in failure.what for word in ("non-fast-forward", "fetch first", "rejected")):
            there = await _there(git, remote, ref, config, environment)
            if there is not None and not await _holds(git, commit, there):
                raise _taken(branch) from None
        raise _failed(remote, failure) from None
    return True


async def _there(
    git: Git, remote: Remote, ref: str, config: Mapping[str, str], environment: Mapping[str, str]
) -> str | None:
    """The commit that the remote's branch has, or None."""
    try:
        listed = await patiently(git, ("ls-remote", "--refs", "--", remote.url, ref), config, environment)
    except GitFailed as failure:
        raise _failed(remote, failure) from None
    for line in listed.split("\n"):
        commit, _, name = line.partition("\t")
        if name == ref:
            return commit
    return None


async def _holds(git: Git, commit: str, there: str) -> bool:
    """Whether `commit` holds everything that the remote has."""
    if await git.find(f"{there}^{{commit}}") is None:
        return False
    return (await git("merge-base", "--is-ancestor", there, commit, ok=(0, 1))).code == 0


async def patiently(
    git: Git, arguments: tuple[str, ...], config: Mapping[str, str], environment: Mapping[str, str]
) -> str:
    """What a git command says that talks to a remote; it ends after LONGEST_SECONDS. Raises GitFailed."""
    try:
        async with asyncio.timeout(LONGEST_SECONDS):
            return (await git(*arguments, config=config, environment=environment)).text
    except TimeoutError:
        raise GitFailed(f"git {arguments[0]} took longer than {LONGEST_SECONDS:.0f} s") from None


def transport(remote: Remote, token: str | None) -> tuple[dict[str, str], dict[str, str]]:
    """(configuration that may be seen, environment) for talking to the remote."""
    scheme = urlsplit(remote.url).scheme if "://" in remote.url else ""
    scheme = scheme or ("file" if remote.url.startswith("/") else "ssh")
    config = {f"protocol.{name}.allow": "always" for name in _SCHEMES if name == scheme}
    environment: dict[str, str] = {}
    if scheme == "ssh":
        # The operator's own keys and known hosts; nothing is asked, nothing is forwarded.
        environment["HOME"] = os.path.expanduser("~")
        environment["GIT_SSH_COMMAND"] = "ssh -o BatchMode=yes -o ForwardAgent=no -o ClearAllForwardings=yes"
        if agent := os.environ.get("SSH_AUTH_SOCK"):
            environment["SSH_AUTH_SOCK"] = agent
    if scheme in ("https", "http"):
        config |= {"http.followRedirects": "false", "http.lowSpeedLimit": "1", "http.lowSpeedTime": "60"}
        names = ("https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR")
        environment |= {name: os.environ[name] for name in names if name in os.environ}
        if token:
            basic = base64.b64encode(f"{_USER}:{token}".encode()).decode()
            know(basic)
            parts = urlsplit(remote.url)
            environment |= {
                "GIT_CONFIG_COUNT": "1",
                "GIT_CONFIG_KEY_0": f"http.{parts.scheme}://{parts.netloc}/.extraHeader",
                "GIT_CONFIG_VALUE_0": f"Authorization: Basic {basic}",
            }
    return config, environment


def _taken(branch: str) -> BranchTaken:
    return BranchTaken(
        f"The remote's branch {branch} holds commits that are not this run's",
        untouched="Nothing was pushed",
        todo="Remove or rename that branch, or set another branch_prefix, then resume the run",
    )


def failed_at(remote: Remote, failure: GitFailed) -> str:
    """What git said of the remote, without secrets."""
    return f"{remote.host or remote.url}: {redact(failure.what)}"


def _failed(remote: Remote, failure: GitFailed) -> PushFailed:
    return PushFailed(
        failed_at(remote, failure),
        untouched="The remote is as it was",
        todo="Look at [remote] in project.toml and at the token, then resume the run",
    )
