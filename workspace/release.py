"""Brings a finished run into main: a merge commit, a tag, and the checkout that people look at."""

import asyncio
import hashlib
import os
import stat
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import structlog

from workspace.errors import MainMoved, TagTaken
from workspace.git import Git
from workspace.merge import commit_text

_log = structlog.get_logger(__name__)
_MAIN = "refs/heads/main"


async def release(
    git: Git,
    checkout: Path,
    run_id: str,
    branch: str,
    tag: str,
    message: str,
) -> str:
    """Merge `branch` into main, tag the merge, update the checkout. Every step is skipped where it is done.

    The caller holds the project's lock.
    """
    tag_ref = f"refs/tags/{tag}"
    main, run = await git.resolve(_MAIN, branch)
    merge = await _merge_of(git, run)
    tagged = await git.find(f"{tag_ref}^{{commit}}")
    if tagged is not None and tagged != merge:
        raise TagTaken(f"the tag {tag} names {tagged[:12]}", untouched="Nothing was released")
    before = main
    if merge is None:
        # What goes to main is what was checked and reviewed: the branch's own tree, never a merge made here.
        if (await git("merge-base", "--is-ancestor", main, run, ok=(0, 1))).code:
            raise MainMoved(
                f"main is at {main[:12]}, which the run {run_id} does not hold",
                untouched="Main and the run's branch are as they were",
            )
        tree = f"{run}^{{tree}}"
        text = commit_text(message, {"Factory-Run": run_id})
        merge = (await git("commit-tree", tree, "-p", main, "-p", run, "-F", "-", stdin=text.encode())).text
        await git.clear_stale_locks(_MAIN, "HEAD")
        await git("update-ref", _MAIN, merge, main)
    if tagged is None:
        await git.clear_stale_locks(tag_ref)
        await git("tag", "-a", "-F", "-", tag, merge, stdin=f"{message.strip() or tag}\n".encode())
    await update_checkout(git, checkout, before)
    return merge


async def tag_head(git: Git, branch: str, tag: str, message: str) -> str:
    """Tag the head of `branch`, once. The caller holds the project's lock."""
    tag_ref = f"refs/tags/{tag}"
    (head,) = await git.resolve(branch)
    tagged = await git.find(f"{tag_ref}^{{commit}}")
    if tagged is None:
        await git.clear_stale_locks(tag_ref)
        await git("tag", "-a", "-F", "-", tag, head, stdin=f"{message}\n".encode())
    elif tagged != head:
        raise TagTaken(f"the tag {tag} names {tagged[:12]}", untouched="Nothing was released")
    return head


async def replaced(git: Git, branch: str, undone: Sequence[str]) -> tuple[str, str] | None:
    """What main has of the heads that rollbacks have undone, and `branch` has not superseded yet.

    The merge on main of the newest of them, and the main that it was merged into.
    """
    for head in undone:
        merge = await _merge_of(git, head)
        if merge is not None:
            known = await git("merge-base", "--is-ancestor", merge, branch, ok=(0, 1))
            before = (await git.resolve(f"{merge}^1"))[0]
            return None if known.code == 0 else (merge, before)
    return None


async def _merge_of(git: Git, run: str) -> str | None:
    """The merge on main whose second parent is the run's head, if it is there."""
    listed = await git("rev-list", "--first-parent", "--merges", "--parents", f"{run}..{_MAIN}")
    for line in listed.text.split("\n"):
        if line.split()[2:] == [run]:
            return line.split()[0]
    return None


async def update_checkout(git: Git, checkout: Path, before: str) -> bool:
    """Show main in the checkout, unless a person works there. Says whether it shows main now.

    A checkout that a kill left half updated is finished: its files are those of before or of main.
    """
    git = Git(git.git_dir, work_tree=checkout, index=git.git_dir / "index", lock=git.lock)
    if (await git("symbolic-ref", "-q", "HEAD", ok=(0, 1))).text != _MAIN:
        return False
    await git.clear_stale_locks()
    main, main_tree = await git.resolve(_MAIN, f"{_MAIN}^{{tree}}")
    if await _is_ours(git, checkout, before, main_tree):
        await git("read-tree", "--reset", "-u", main)
        return True
    _log.warning("checkout.left_alone", checkout=str(checkout), why="it has changes that are not committed")
    return False


async def _is_ours(git: Git, checkout: Path, before: str, main_tree: str) -> bool:
    """Whether nothing in the checkout is a person's: all that differs from its index is main's already."""
    index_tree = await git("write-tree", ok=(0, 128))
    shown = index_tree.text
    if index_tree.code != 0 or (shown != main_tree and not await _was_main(git, shown)):
        return False
    await git("update-index", "-q", "--refresh", ok=(0, 1))
    changed = (await git("diff-files", "--ignore-submodules=all", "-z", "--name-only")).names
    new = (await git("ls-files", "-z", "--others", "--exclude-standard")).names
    new += await _ignored_in_the_way(git, checkout, shown, main_tree)
    if not changed and not new:
        return True
    listed = (await git("ls-tree", "-r", "-z", main_tree)).names
    wanted = {line.partition("\t")[2]: line.split()[2] for line in listed}
    blobs = await asyncio.to_thread(lambda: [(path, _blob(checkout / path)) for path in (*changed, *new)])
    return all(wanted.get(path) == blob for path, blob in blobs)


async def _ignored_in_the_way(git: Git, checkout: Path, shown: str, main_tree: str) -> list[str]:
    """What stands, ignored and so recorded nowhere, where main has put something that was not there."""
    form = ("-r", "-z", "--name-only", "--diff-filter=A")
    added = (await git("diff-tree", *form, shown, main_tree)).names
    there = await asyncio.to_thread(lambda: {_standing(checkout, path) for path in added} - {""})
    tracked = (await git("ls-tree", "-r", "-z", "--name-only", shown)).names if there else []
    return sorted(there - set(tracked))


def _standing(checkout: Path, path: str) -> str:
    """The path, or the part of it that is no folder; empty where nothing is there."""
    for place in reversed((PurePosixPath(path), *PurePosixPath(path).parents[:-1])):
        found = checkout / place
        if not os.path.lexists(found):
            return ""
        if found.is_symlink() or not found.is_dir():
            return str(place)
    return path


async def _was_main(git: Git, tree: str) -> bool:
    return tree in (await git("log", "--first-parent", "-20", "--format=%T", _MAIN)).text.split("\n")


def _blob(path: Path) -> str | None:
    """The id that git would give the file; None where there is no file."""
    try:
        mode = path.lstat().st_mode
        content = os.readlink(path).encode() if stat.S_ISLNK(mode) else path.read_bytes()
    except OSError:
        return None
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
