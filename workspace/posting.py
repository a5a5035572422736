"""Puts files on a branch without any worktree: commits that add what is not there and change nothing else."""

import asyncio
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from workspace.errors import NoRoomForMail
from workspace.git import Git

MAIL = ".factory/mail"
"""Where the factory's own messages lie on every branch."""

LARGEST = 100_000
"""Bytes of a file whose text is read."""


async def post(git: Git, branch: str, files: Mapping[str, bytes], text: str, index: Path) -> str:
    """Add files to a branch in a commit with this text; gives the branch's head. Nothing new, no commit.
    Raises NoRoomForMail.

    The caller holds the project's lock.
    """
    (head,) = await git.resolve(branch)
    new = await missing(git, head, files)
    if not new:
        return head
    tree = await with_files(git, f"{head}^{{tree}}", new, index)
    commit = (await git("commit-tree", tree, "-p", head, "-F", "-", stdin=text.encode())).text
    await git.clear_stale_locks(branch, "HEAD")
    await git("update-ref", branch, commit, head)
    return commit


async def texts(git: Git, commit: str, folder: str) -> dict[str, str]:
    """The .md and .txt files below a folder in `commit`, by path; those over LARGEST are left out."""
    listed = (await git("ls-tree", "-r", "-z", "-l", commit, f"{folder}/")).names
    wanted: list[tuple[str, str]] = []
    for line in listed:
        head, _, path = line.partition("\t")
        _, kind, blob, size = head.split()
        if kind == "blob" and int(size) <= LARGEST and path.endswith((".md", ".txt")):
            wanted.append((path, blob))
    if not wanted:
        return {}
    answer = (await git("cat-file", "--batch", stdin="".join(f"{blob}\n" for _, blob in wanted).encode())).out
    found: dict[str, str] = {}
    at = 0
    for path, _ in wanted:
        end = answer.index(b"\n", at)
        size = int(answer[at:end].split()[2])
        found[path] = answer[end + 1 : end + 1 + size].decode("utf-8", "replace")
        at = end + size + 2
    return found


async def missing(git: Git, commit: str, files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Those of the files whose path the commit does not have."""
    listed = (await git("ls-tree", "-r", "-z", "--name-only", commit, *files)).names if files else []
    return {path: content for path, content in files.items() if path not in listed}


async def require_room(git: Git, tree: str, paths: Iterable[str] = (MAIL,)) -> None:
    """Raise NoRoomForMail where a file stands in the place of a folder above `paths`, or a folder in the
    place of one of `paths`: git would replace it without a word. `tree` may be a commit."""
    files = {path for path in paths if path != MAIL}
    folders = {str(parent) for path in files for parent in PurePosixPath(path).parents if parent.name}
    folders |= {MAIL, MAIL.partition("/")[0]}
    for line in (await git("ls-tree", "-z", tree, "--", *sorted(folders | files))).names:
        head, _, path = line.partition("\t")
        is_folder = head.split()[1] == "tree"
        if path in (files if is_folder else folders):
            what = "a folder and no file" if is_folder else "no folder"  # a file, or a link
            raise NoRoomForMail(
                f"The repository has {path}, and it is {what}: the factory keeps its mail there",
                untouched="It was not touched, and no mail was written",
                todo="Rename it, commit that to main, and go on",
            )


async def with_files(git: Git, tree: str, files: Mapping[str, bytes], index: Path) -> str:
    """The tree with these files added; `index` is a file to work with, not there before or after.

    The caller holds the project's lock.
    """
    blobs = {
        path: (await git("hash-object", "-w", "--stdin", "-t", "blob", stdin=content)).text
        for path, content in files.items()
    }
    return await with_blobs(git, tree, blobs, index) if blobs else tree


def _unlink(index: Path) -> None:
    index.unlink(missing_ok=True)
    index.with_name(index.name + ".lock").unlink(missing_ok=True)


async def only_added(git: Git, before: str, after: str, folder: str) -> dict[str, str] | None:
    """The blobs that `after` adds below a folder, by path; None where it does more than that since `before`,
    or does not come after it."""
    if (await git("merge-base", "--is-ancestor", before, after, ok=(0, 1))).code:
        return None
    fields = (await git("diff-tree", "-r", "-z", before, after)).names
    added: dict[str, str] = {}
    for told, path in zip(fields[::2], fields[1::2], strict=True):
        _, mode, _, blob, status = told.split(" ")
        if status != "A" or mode != "100644" or not path.startswith(f"{folder}/"):
            return None
        added[path] = blob
    return added


async def with_blobs(git: Git, tree: str, blobs: Mapping[str, str], index: Path) -> str:
    """The tree with these blobs at these paths, as `with_files`. The caller holds the project's lock.

    Raises NoRoomForMail."""
    await require_room(git, tree, blobs)
    await asyncio.to_thread(_unlink, index)
    apart = Git(git.git_dir, index=index, lock=git.lock)
    try:
        await apart("read-tree", tree)
        listed = "".join(f"100644 {blob}\t{path}\0" for path, blob in blobs.items()).encode()
        await apart("update-index", "-z", "--index-info", stdin=listed)
        return (await apart("write-tree")).text
    finally:
        await asyncio.to_thread(_unlink, index)
