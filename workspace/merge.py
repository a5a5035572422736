"""How two lines of work become one tree, and what the commit that does it says."""

import re
from collections.abc import Mapping

from workspace.errors import WorkspaceError
from workspace.git import Git

_LONGEST = 10_000
_KEY = re.compile(r"[A-Za-z][A-Za-z-]*")


async def tree_of_both(git: Git, ours: str, theirs: str) -> tuple[str, list[str]]:
    """The tree of a three-way merge, and the paths in conflict (then the tree means nothing).

    Touches no branch, index or worktree.
    """
    form = ("--write-tree", "-z", "--name-only", "--no-messages")
    answer = await git("merge-tree", *form, ours, theirs, ok=(0, 1))
    tree, *conflicts = answer.names
    return tree, sorted(set(conflicts))


def commit_text(message: str, trailers: Mapping[str, str]) -> str:
    """A commit message whose last paragraph is `trailers` and nothing that the message smuggles in."""
    body = "".join(c for c in message if c.isprintable() or c == "\n").strip()[:_LONGEST]
    for key in trailers:
        if not _KEY.fullmatch(key):
            raise WorkspaceError(f"{key[:60]!a} cannot be a trailer")
    lines = [f"{key}: {trailer_value(value)}" for key, value in trailers.items()]
    return f"{body or 'Work'}\n\n" + "\n".join(lines) + "\n"


def trailer_value(value: str) -> str:
    """A trailer's value as one printable line."""
    return " ".join("".join(c if c.isprintable() else " " for c in value).split())[:1000]
