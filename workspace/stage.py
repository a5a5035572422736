"""A stage's worktree: its own folder, index and line of snapshots, apart from every other stage."""

import asyncio
import os
import posixpath
from dataclasses import dataclass, field
from pathlib import Path

from workspace import index, inventory
from workspace.errors import GitFailed, PathRefused, TreeTooBig, WorkspaceError
from workspace.files import Files
from workspace.git import Git
from workspace.inventory import Inventory, Limits, Mark, shown
from workspace.locks import FileLock


@dataclass
class StageTree:
    """One stage's worktree. Only one process works in it at a time; its content is hostile.

    It holds no `.git`: the repository, the index and the snapshots lie outside.
    """

    path: Path
    """The worktree."""
    base: str
    """The commit that the stage began from."""
    stage: str
    run_id: str
    _git: Git = field(repr=False)
    _ref: str = field(repr=False)
    _room: Path = field(repr=False)
    """Folder of the index and the lock, outside the worktree."""
    _limits: Limits = field(default_factory=Limits, repr=False)
    _seen: tuple[str, frozenset[Mark]] | None = field(default=None, init=False, repr=False)
    """The commit that the worktree equals, and how it looked then."""
    _granted: Limits | None = field(default=None, init=False, repr=False)
    """The limits with what the base holds, once it was measured."""

    @property
    def room(self) -> Path:
        """Folder of the index and the lock, outside the worktree."""
        return self._room

    def __post_init__(self) -> None:
        self.files = Files(self.path)
        """Host-side access to the worktree's files."""
        self._lock = FileLock(self._room / "lock")
        self._last: tuple[str, str] | None = None

    async def snapshot(self, message: str) -> str:
        """Commit everything that lies in the worktree and return the commit; the last one if nothing changed.

        Snapshots stand in a line of their own, not on the run's branch. Raises TreeTooBig over the limits
        and PathRefused for what may not be recorded; then nothing is recorded.
        """
        async with self._lock.held() as lock:
            git = self._git.locked(lock)
            before = await self._inventory(git)
            last, last_tree = await self._newest(git)
            if self._seen == (last, before.marks):
                return last
            await git.clear_stale_locks(self._ref)
            await git("add", "--all", "--", ".")
            await self._refuse_escapes(git)
            tree = (await git("write-tree")).text
            commit = last
            if tree != last_tree:
                commit = (await git("commit-tree", tree, "-p", last, "-F", "-", stdin=message.encode())).text
                await git("update-ref", self._ref, commit, last)
                self._last = (commit, tree)
            self._seen = (commit, before.marks)
            return commit

    async def restore(self, commit: str) -> None:
        """Make the worktree exactly `commit`, ignored files gone too, and go on from there.

        Does nothing where this process left it so and nothing was touched since.
        """
        async with self._lock.held() as lock:
            git = self._git.locked(lock)
            await git.clear_stale_locks(self._ref)
            try:
                found: Inventory | None = await self._inventory(git)
            except (WorkspaceError, OSError):
                found = None  # hostile content that git need not be troubled with
            if not found or self._seen != (commit, found.marks):
                self._seen = None
                await self._fill(git, commit, afresh=found is None or found.odd)
            last, _ = await self._newest(git)
            if last != commit:
                await git("update-ref", self._ref, commit, last)
                self._last = None

    async def changed(self) -> list[str]:
        """The paths that differ from the base now, gone ones too, in order; ignored files are not counted.

        Raises what `snapshot` raises where the content may not be recorded.
        """
        async with self._lock.held() as lock:
            git = self._git.locked(lock)
            now = await self._inventory(git)
            if self._seen is not None and self._seen[1] == now.marks:
                answer = await git("diff-tree", "-r", "-z", "--name-only", self.base, self._seen[0])
            else:
                await git.clear_stale_locks()
                await git("add", "--all", "--", ".")
                answer = await git("diff-index", "--cached", "-z", "--name-only", self.base)
            return answer.names

    async def begin(self, *, spare: bool) -> None:
        """Fill the worktree with its base and begin its line of snapshots.

        With `spare` there lies what another stage left; it is changed where that is safe, else replaced.
        """
        async with self._lock.held() as lock:
            git = self._git.locked(lock)
            await git.clear_stale_locks(self._ref)
            await self._fill(git, self.base, afresh=not spare or await self._odd(git))
            await git("update-ref", self._ref, self.base)

    async def _odd(self, git: Git) -> bool:
        try:
            return (await self._inventory(git)).odd
        except (WorkspaceError, OSError):
            return True  # hostile content that git need not be troubled with

    async def _inventory(self, git: Git) -> Inventory:
        """What lies in the worktree. The limits are for what the stage adds to its base.

        The base is only measured where the worktree passes the limits, so small projects never pay for it.
        """
        try:
            return await asyncio.to_thread(inventory.take, self.path, self._granted or self._limits)
        except TreeTooBig:
            if self._granted is not None:
                raise
        self._granted = self._limits.beyond(*await _measured(git, self.base))
        return await asyncio.to_thread(inventory.take, self.path, self._granted)

    async def _newest(self, git: Git) -> tuple[str, str]:
        if self._last is None:
            commit, tree = await git.resolve(self._ref, f"{self._ref}^{{tree}}")
            self._last = (commit, tree)
        return self._last

    async def _fill(self, git: Git, commit: str, *, afresh: bool) -> None:
        if not afresh:
            try:
                await git("read-tree", "--reset", "-u", commit)
                await git("clean", "-ffdxq")
            except GitFailed:
                afresh = True
        if afresh:
            await remove(self.path)
            await asyncio.to_thread(self._begin_empty)
            await git("read-tree", "--reset", "-u", commit)
        try:
            left = await self._inventory(git)
        except WorkspaceError:
            return  # the commit itself is over the limits: the next snapshot says so
        self._seen = (commit, left.marks)

    def _begin_empty(self) -> None:
        assert self._git.index is not None
        self._git.index.unlink(missing_ok=True)
        self.path.mkdir(parents=True)

    async def _refuse_escapes(self, git: Git) -> None:
        assert git.index is not None
        doubtful = await asyncio.to_thread(_doubtful, git.index, self.path)
        if not doubtful:
            return
        # What the base already had is the owner's business; only what the stage brings is refused.
        listed = (await git("ls-tree", "-r", "-z", self.base)).out.split(b"\0")
        known = {line.partition(b"\t")[2]: line.split()[2].decode() for line in listed if line}
        for entry, why in doubtful:
            if known.get(entry.path) != entry.object:
                raise PathRefused(
                    f"{shown(entry.path)} {why}", untouched="Nothing was recorded", todo="Remove or rename it"
                )


async def _measured(git: Git, commit: str) -> tuple[int, int]:
    """How many files and folders a commit has, and how many bytes."""
    rows = (await git("ls-tree", "-r", "-t", "-z", "-l", commit)).out.split(b"\0")
    sizes = [row.partition(b"\t")[0].split()[3] for row in rows if row]
    return len(sizes), sum(int(size) for size in sizes if size.isdigit())


def _doubtful(index_file: Path, root: Path) -> list[tuple[index.Recorded, str]]:
    doubtful: list[tuple[index.Recorded, str]] = []
    for entry in index.recorded(index_file):
        if why := _refusal(entry, root):
            doubtful.append((entry, why))
    return doubtful


def _refusal(entry: index.Recorded, root: Path) -> str:
    if entry.mode == index.SUBMODULE:
        return "is a repository inside the worktree"
    try:
        path = entry.path.decode()
    except UnicodeDecodeError:
        return "has a name that is not UTF-8"
    if not path.isprintable():
        return "has a name with control characters"
    if entry.mode == index.SYMLINK:
        try:
            target = os.readlink(root / path)
        except OSError:
            return "changed while it was recorded"
        if not stays_inside(path, target):
            return f"is a symlink that leads out of the worktree, to {shown(target)}"
    return ""


def stays_inside(path: str, target: str) -> bool:
    """Whether a symlink at `path` that points to `target` stays in the tree, whatever else is a symlink.

    `..` counts only at the front, where it climbs real folders; after a name it could climb out of
    wherever that name leads.
    """
    parts = target.split("/")
    if posixpath.isabs(target) or any(part.lower() == ".git" for part in parts):
        return False
    climbs = 0
    while parts and parts[0] in ("..", ".", ""):
        climbs += parts.pop(0) == ".."
    return ".." not in parts and climbs <= path.count("/")


async def remove(folder: Path) -> None:
    """Remove a folder, however deep, closed or odd its content is. Follows no symlink."""
    if not await asyncio.to_thread(os.path.lexists, folder):
        return
    for command in (("rm", "-rf"), ("chmod", "-R", "u+rwx"), ("rm", "-rf")):
        process = await asyncio.create_subprocess_exec(
            *command, "--", str(folder), stderr=asyncio.subprocess.DEVNULL
        )
        await process.wait()
        if not await asyncio.to_thread(os.path.lexists, folder):
            return
    raise WorkspaceError(f"{folder.name} cannot be removed", todo="Look at its permissions")
