"""How a project's repository begins: empty, or with the history of a repository or bundle of the user."""

from __future__ import annotations

import asyncio
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from workspace import posting
from workspace.errors import GitFailed, NoRoomForMail, SourceInvalid
from workspace.git import ATTRIBUTES, EXCLUDES, Git

_MOST_FILES = 100_000
_MOST_BYTES = 2_000_000_000
"""Of what an uploaded bundle may unpack to."""


def vacate(folder: Path) -> None:
    """Take away a project's folder that holds nothing but its lock."""
    if [entry.name for entry in folder.iterdir()] == ["lock"]:
        (folder / "lock").unlink()
        folder.rmdir()


async def fill(git: Git, unborn: Path, source: Path | None) -> None:
    """A fresh repository with one commit, or the history of `source`.

    It is still nobody else's: what git would only write into a file is written, without a process for it.
    """
    if source is None:
        tree = await _begin(git, unborn.parent.parent)
        commit = (await git("commit-tree", tree, "-m", "Begin the project")).text
    else:
        await _init(git)
        commit = await _fetch(git, source)
    await asyncio.to_thread(_point, git.git_dir / "refs" / "heads" / "main", commit)
    if source is not None:
        await Git(git.git_dir, work_tree=unborn, lock=git.lock)("read-tree", "-u", "--reset", commit)


async def _init(git: Git) -> None:
    await git("init", "--quiet", "--initial-branch=main", "--template=")
    details = git.git_dir / "info"
    await asyncio.to_thread(details.mkdir, exist_ok=True)
    await asyncio.to_thread((details / "exclude").write_text, EXCLUDES)
    await asyncio.to_thread((details / "attributes").write_text, ATTRIBUTES)


async def _begin(git: Git, projects: Path) -> str:
    """A repository that holds the empty tree, and its id: git makes the first one, the others are like it."""
    blank = _blanks.get(projects)
    if blank is None:
        await _init(git)
        tree = (await git("mktree")).text
        _blanks[projects] = await asyncio.to_thread(_Blank.of, git.git_dir, tree)
        return tree
    await asyncio.to_thread(blank.write, git.git_dir)
    return blank.tree


@dataclass(frozen=True, slots=True)
class _Blank:
    """What git makes of an empty folder, and has found out about the disk that it is on."""

    tree: str
    folders: tuple[Path, ...]
    files: tuple[tuple[Path, bytes, int], ...]
    """Path, content, mode."""

    @classmethod
    def of(cls, git_dir: Path, tree: str) -> _Blank:
        """As a repository is now."""
        there = sorted(git_dir.rglob("*"))
        return cls(
            tree,
            tuple(path.relative_to(git_dir) for path in there if path.is_dir()),
            tuple(
                (path.relative_to(git_dir), path.read_bytes(), stat.S_IMODE(path.stat().st_mode))
                for path in there
                if path.is_file()
            ),
        )

    def write(self, git_dir: Path) -> None:
        """Make another one."""
        git_dir.mkdir()
        for folder in self.folders:
            (git_dir / folder).mkdir()
        for path, content, mode in self.files:
            (git_dir / path).write_bytes(content)
            (git_dir / path).chmod(mode)


_blanks: dict[Path, _Blank] = {}
"""By the folder of the projects."""


def _point(ref: Path, commit: str) -> None:
    """Write a branch's file, and have it on the disk as git does."""
    with ref.open("w", encoding="ascii") as file:
        file.write(f"{commit}\n")
        file.flush()
        os.fsync(file.fileno())


async def _fetch(git: Git, source: Path) -> str:
    source = await asyncio.to_thread(source.resolve)
    bundled = await asyncio.to_thread(_is_bundle, source)
    if not bundled and not await asyncio.to_thread(source.is_dir):
        raise SourceInvalid(f"{source} is no folder")
    # git drops our -c options for the process that serves the source; the owner's word stands in a file.
    trust = git.git_dir / "trust"
    await asyncio.to_thread(trust.write_text, "[safe]\n\tdirectory = *\n[core]\n\thooksPath = /dev/null\n")
    try:
        await git(
            *("fetch", "--quiet", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head"),
            "--update-shallow",
            *("--", str(source), "+HEAD:refs/factory/source"),
            config={"protocol.file.allow": "always", **({"fetch.fsckObjects": "true"} if bundled else {})},
            environment={"GIT_CONFIG_GLOBAL": str(trust)},
        )
    except GitFailed as failure:
        name = source.name if bundled else source
        raise SourceInvalid(
            f"{name} is no git repository with a commit: {_in_short(failure.what)}",
            untouched="It was not touched",
            todo="Give the folder of a repository that has at least one commit",
        ) from failure
    finally:
        trust.unlink(missing_ok=True)
    commit = (await git.resolve("refs/factory/source"))[0]
    await _require_room(git, commit)
    if bundled:
        await _require_bounded(git, commit)
    return commit


def _is_bundle(source: Path) -> bool:
    try:
        with source.open("rb") as file:
            return file.read(16).startswith((b"# v2 git bundle\n", b"# v3 git bundle\n"))
    except OSError:
        return False


async def _require_bounded(git: Git, commit: str) -> None:
    """A bundle is small where its files repeat themselves: look at what it would fill the disk with."""
    listed = (await git("ls-tree", "-r", "-z", "-l", commit)).names
    sizes = [line.partition("\t")[0].split()[3] for line in listed]
    if len(sizes) > _MOST_FILES or sum(int(size) for size in sizes if size.isdigit()) > _MOST_BYTES:
        raise SourceInvalid(
            f"The bundle unpacks to more than {_MOST_FILES:,} files or {_MOST_BYTES:,} bytes",
            untouched="No project was made",
            todo="Import the repository on the server",
        )


async def _require_room(git: Git, commit: str) -> None:
    try:
        await posting.require_room(git, commit)
    except NoRoomForMail as refused:
        raise SourceInvalid(
            f"The source cannot be taken in. {refused.what}",
            untouched="It was not touched, and no project was made",
            todo="Rename it in the source and commit that",
        ) from None


def _in_short(said: str) -> str:
    """The line of git's words that says why."""
    lines = [line.strip() for line in said.splitlines()] or [""]
    return next((line for line in lines if "fatal: " in line), lines[0]).rpartition("fatal: ")[2]
