"""A unified diff applied as a whole or not at all, in an index: no worktree is touched by it."""

import tempfile
from dataclasses import replace
from pathlib import Path

from workspace.beneath import parts_of
from workspace.errors import GitFailed, PatchRefused, PathRefused, TreeTooBig
from workspace.git import Git
from workspace.inventory import Limits

LARGEST_PATCH = 2_000_000
"""Characters."""
_PLAIN = ("000000", "100644", "100755")


async def patched(git: Git, snapshot: str, patch: str, limits: Limits) -> tuple[str, list[str]]:
    """The tree that `patch` makes of `snapshot`, and the paths it changes.

    Raises PatchRefused where it does not apply, is binary or makes a link, PathRefused for a path outside
    the worktree, and TreeTooBig over the limits.
    """
    if len(patch) > LARGEST_PATCH:
        raise PatchRefused(
            f"The patch has {len(patch)} characters; the most is {LARGEST_PATCH}", untouched="Nothing changed"
        )
    if "\nGIT binary patch" in f"\n{patch}":
        raise PatchRefused("The patch is binary", untouched="Nothing changed", todo="Give a text patch")
    text = patch if patch.endswith("\n") else patch + "\n"
    with tempfile.TemporaryDirectory(prefix="factory-patch-") as scratch:
        apart = replace(git, index=Path(scratch) / "index")
        await apart("read-tree", snapshot)
        try:
            await apart(
                "apply", "--cached", "--whitespace=nowarn", "-", stdin=text.encode("utf-8", "replace")
            )
        except GitFailed as failure:
            raise PatchRefused(
                f"The patch does not apply: {failure.what}",
                untouched="Nothing changed",
                todo="Make it against the files as they are now; see diff and read_file",
            ) from failure
        tree = (await apart("write-tree")).text
    changed = await _changed(git, snapshot, tree)
    await _within(git, tree, limits)
    return tree, changed


async def _changed(git: Git, snapshot: str, tree: str) -> list[str]:
    fields = (await git("diff-tree", "-r", "-z", "--raw", "--no-renames", snapshot, tree)).names
    changed: list[str] = []
    for head, path in zip(fields[::2], fields[1::2], strict=True):
        if head.split()[1] not in _PLAIN:
            raise PatchRefused(f"The patch would make {path[:200]!a} a link", untouched="Nothing changed")
        try:
            parts_of(path)
        except PathRefused as refused:
            raise PathRefused(refused.what, untouched="Nothing changed") from refused
        changed.append(path)
    return changed


async def _within(git: Git, tree: str, limits: Limits) -> None:
    # One blob under many names costs a patch nothing and a disk a lot.
    rows = (await git("ls-tree", "-r", "-z", "-l", tree)).names
    size = sum(int(field) for row in rows if (field := row.partition("\t")[0].split()[3]).isdigit())
    if len(rows) > limits.files or size > limits.bytes:
        raise TreeTooBig(
            f"The patch would make {len(rows)} files of {size} bytes; "
            f"{limits.files} files and {limits.bytes} bytes are the most",
            untouched="Nothing changed",
        )
