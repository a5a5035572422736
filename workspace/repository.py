"""A project's repository: a branch a run, a worktree a stage, one merge gate, one release.

On disk, below `<home>/projects/<name>/`: `repository` (a normal clone, `main` checked out), `worktrees`
(what stages work in), `stages` (their indexes), `spares` (worktrees for stages to come) and `lock`. Refs:
`factory/<run>` is the run's branch, `refs/factory/<run>/base` where it began,
`refs/factory/<run>/rolled-back/<n>/head` its head before its nth rollback, and
`refs/factory/<run>/stages/<stage>` a stage's newest snapshot.
"""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from core import faults, fencing
from workspace import posting, reconciling, refs, release
from workspace.commits import Commits
from workspace.errors import BranchMoved
from workspace.founding import fill, vacate
from workspace.git import Git
from workspace.inventory import Limits
from workspace.locks import FileLock
from workspace.merge import commit_text, trailer_value, tree_of_both
from workspace.push import push
from workspace.reconciling import LaidOut, Meeting
from workspace.remote import Remote
from workspace.spares import Spares
from workspace.stage import StageTree, remove
from workspace.sync import Synced, sync

_NEXT: Final = ".next"
"""Between a run's id and the number of its holders, in the folders of its stages."""


@dataclass(frozen=True, slots=True)
class Merge:
    """What became of a stage's work at the merge gate."""

    commit: str
    """The stage's commit on the run's branch; the branch's head where there are conflicts."""
    files: list[str]
    """The paths that the commit changed."""
    conflicts: list[str]
    """The paths that another stage changed too. Where there are any, nothing was merged."""


class Repository(Commits):
    """One project's repository. Everything that moves a branch happens under one lock per project."""

    def __init__(self, name: str, folder: Path, limits: Limits | None = None) -> None:
        self.name = name
        self.path = folder / "repository"
        """The checkout of `main`, for people and their tools."""
        self._folder = folder
        self._limits = limits or Limits()
        super().__init__(Git(self.path / ".git"))
        self._lock = FileLock(folder / "lock")
        self._spares = Spares(folder / "spares")
        self._stages: dict[tuple[str, str, str], StageTree] = {}

    async def create(self, source: Path | None = None) -> None:
        """Make the repository if it is not there: whole, or not at all."""
        if (self.path / ".git").exists():
            return
        await asyncio.to_thread(self._folder.mkdir, parents=True, exist_ok=True)
        async with self._lock.held() as lock:
            if (self.path / ".git").exists():
                return
            unborn = self._folder / "repository.new"
            await remove(unborn)
            # The folder too: another process that failed here may have taken it away while we waited.
            await asyncio.to_thread(unborn.mkdir, parents=True)
            try:
                await fill(Git(unborn / ".git", lock=lock), unborn, source)
            except BaseException:
                await remove(unborn)
                await asyncio.to_thread(vacate, self._folder)
                raise
            await asyncio.to_thread(unborn.rename, self.path)

    async def begin_run(self, run_id: str) -> str:
        """Make the run's branch `factory/<run_id>` at main, once. Gives the commit it began from. Raises
        NoRoomForMail."""
        base_ref, branch = refs.base(run_id), refs.branch(run_id)
        async with self._lock.held() as lock:
            git = self._git.locked(lock)
            base, head = await git.find(base_ref), await git.find(branch)
            if base and head:
                return base
            # Killed between the two, one is there: nothing can have been merged yet.
            commit = base or head or (await git.resolve("refs/heads/main"))[0]
            await posting.require_room(git, commit)
            await git.clear_stale_locks(base_ref, branch)
            await git("update-ref", "--stdin", stdin=refs.updates((branch, commit), (base_ref, commit)))
            return commit

    async def run_head(self, run_id: str) -> str:
        """The newest commit of the run's branch."""
        return (await self._git.resolve(refs.branch(run_id)))[0]

    async def newest(self, run_id: str, commits: Collection[str]) -> str:
        """Which of `commits` came last on the run's branch; where the run began, if none of them is on it."""
        base, branch = refs.base(run_id), refs.branch(run_id)
        for commit in (await self._git("rev-list", f"{base}..{branch}")).text.split("\n"):
            if commit in commits:
                return commit
        return (await self._git.resolve(base))[0]

    async def open_stage(self, run_id: str, stage: str, *, base: str | None = None) -> StageTree:
        """The stage's worktree: made at `base` (the run's head if not given), or taken up as it was left.

        The base of a stage that was opened before stays what it was.
        """
        refs.checked(stage)
        generation = _generation()
        if known := self._stages.get((run_id, stage, generation)):
            return known
        name = refs.checked(run_id) + generation
        room = self._folder / "stages" / name / stage
        note = room / "base"
        recorded = await asyncio.to_thread(_opened, note)
        # Who had the run before may still be at work in its own: what is taken over is only where it began.
        before = "" if recorded else await asyncio.to_thread(self._began, run_id, stage)
        commit = (
            recorded
            or before
            or (await self._git.resolve(f"{refs.revision(base or refs.branch(run_id))}^{{commit}}"))[0]
        )
        path = self._folder / "worktrees" / name / stage
        git = Git(self._git.git_dir, work_tree=path, index=room / "index")
        tree = StageTree(path, commit, stage, run_id, git, refs.stage(run_id, stage), room, self._limits)
        if not recorded or not path.is_dir():
            await tree.begin(spare=await self._spare(path, room / "index"))
        if not recorded:
            # Only now is it open: killed before, it is made again.
            await asyncio.to_thread(_note, note, commit)
        return self._stages.setdefault((run_id, stage, generation), tree)

    async def open_stages(self, run_id: str) -> list[str]:
        """The stages of a run that were opened and not closed, in order."""
        rooms = self._folder / "stages"

        def opened() -> list[str]:
            known = (rooms / refs.checked(run_id), *rooms.glob(f"{run_id}{_NEXT}*"))
            return sorted({note.parent.name for room in known for note in room.glob("*/base")})

        return await asyncio.to_thread(opened)

    async def checkout(self, run_id: str, name: str) -> StageTree:
        """A worktree at the run's head, named like a stage, for looking at what was merged so far."""
        return await self.open_stage(run_id, name)

    async def merge_stage(
        self,
        tree: StageTree,
        *,
        message: str,
        trailers: Mapping[str, str],
        mail: Mapping[str, bytes] | None = None,
    ) -> Merge:
        """Merge the stage's newest snapshot into the run's branch as one commit, once.

        `trailers` go to the end of the commit's message; `Factory-Run` and `Factory-Stage` always do.
        `mail` are files of the factory's own that the commit adds where they are not there.
        Known by `Factory-Stage`, a stage that was merged before is not merged again. A conflict changes
        nothing.
        """
        branch = refs.branch(tree.run_id)
        marks = {"Factory-Run": tree.run_id, "Factory-Stage": tree.stage} | dict(trailers)
        text = commit_text(message, marks)
        async with self._lock.held() as lock:
            git = self._git.locked(lock)
            head, snapshot = await git.resolve(branch, refs.stage(tree.run_id, tree.stage))
            if done := await refs.merged(
                git, refs.base(tree.run_id), branch, trailer_value(marks["Factory-Stage"])
            ):
                return Merge(done, await _files_of(git, done), [])
            merged, conflicts = await tree_of_both(git, head, snapshot)
            if conflicts:
                return Merge(head, [], conflicts)
            new = await posting.missing(git, head, mail or {})
            merged = await posting.with_files(git, merged, new, self._folder / "posting.index")
            commit = (await git("commit-tree", merged, "-p", head, "-F", "-", stdin=text.encode())).text
            await git.clear_stale_locks(branch)
            await git("update-ref", branch, commit, head)
            return Merge(commit, await _files_of(git, commit), [])

    async def post(self, run_id: str, files: Mapping[str, bytes], *, message: str) -> str:
        """Add files to the run's branch in a commit of their own, once; gives the branch's head.

        A file that is there already stays as it is.
        """
        async with self._lock.held() as lock:
            text = commit_text(message, {"Factory-Run": run_id, "Factory-Mail": "yes"})
            index = self._folder / "posting.index"
            return await posting.post(self._git.locked(lock), refs.branch(run_id), files, text, index)

    async def post_to_main(self, files: Mapping[str, bytes], *, message: str) -> str:
        """The same for main, whose checkout then shows them, unless a person works in it."""
        async with self._lock.held() as lock:
            git = self._git.locked(lock)
            before = (await git.resolve("refs/heads/main"))[0]
            text = commit_text(message, {"Factory-Mail": "yes"})
            head = await posting.post(git, "refs/heads/main", files, text, self._folder / "posting.index")
            await release.update_checkout(git, self.path, before)
            return head

    async def runs(self) -> list[str]:
        """The runs that have a branch here, oldest first."""
        form = ("--format=%(refname:lstrip=3)", "refs/heads/factory/")
        return [name for name in (await self._git("for-each-ref", *form)).text.split("\n") if name]

    async def _spare(self, tree: Path, index: Path) -> bool:
        """Put a spare worktree in the place of one that is to be made; whether there was one."""
        await remove(tree)  # what an opening left that was killed
        async with self._lock.held():
            return await asyncio.to_thread(self._spares.give, tree, index)

    async def roll_back(self, run_id: str, number: int, commit: str) -> str:
        """Set the run's branch back to `commit`, once, and close its stages. Gives the ref of its old head.

        Below that ref stand the branch's old head and the newest snapshot of each stage that was open.
        """
        branch, kept = refs.branch(run_id), f"{refs.rolled_back(run_id)}/{number}"
        open_now = await self.open_stages(run_id)
        async with self._lock.held() as lock:
            git = self._git.locked(lock)
            (head,) = await git.resolve(branch)
            for stage in open_now:
                if snapshot := await git.find(refs.stage(run_id, stage)):
                    await git("update-ref", f"{kept}/stages/{stage}", snapshot)
            if await git.find(f"{kept}/head") is None:
                await git.clear_stale_locks(f"{kept}/head")
                await git("update-ref", f"{kept}/head", head)
            faults.point("rollback.kept")
            await git.clear_stale_locks(branch)
            await git("update-ref", branch, commit)
        for stage in open_now:
            await self.close_stage(await self.open_stage(run_id, stage))
        return f"{kept}/head"

    async def close_stage(self, tree: StageTree) -> None:
        """Take the stage's worktree and snapshots away; what was merged stays. Closing twice is fine."""
        for known in [key for key in self._stages if key[:2] == (tree.run_id, tree.stage)]:
            del self._stages[known]
        room = tree.room
        await asyncio.to_thread((room / "base").unlink, missing_ok=True)
        async with self._lock.held():
            await asyncio.to_thread(self._spares.keep, tree.path, room / "index")
        await remove(tree.path)
        await remove(room)
        for left in await asyncio.to_thread(self._left, refs.checked(tree.run_id), refs.checked(tree.stage)):
            await remove(left)
        async with self._lock.held() as lock:
            ref = refs.stage(tree.run_id, tree.stage)
            git = self._git.locked(lock)
            await git.clear_stale_locks(ref, "packed-refs")
            await git("update-ref", "-d", ref)

    def _left(self, run_id: str, stage: str) -> list[Path]:
        """What is left of a stage, of any generation."""
        folders = (self._folder / "worktrees", self._folder / "stages")
        names = (run_id, f"{run_id}{_NEXT}*")
        return [found for folder in folders for name in names for found in folder.glob(f"{name}/{stage}")]

    def _began(self, run_id: str, stage: str) -> str:
        """The commit at which a holder before opened the stage; empty where none did."""
        rooms = sorted((self._folder / "stages").glob(f"{refs.checked(run_id)}{_NEXT}*"), reverse=True)
        for room in (*rooms, self._folder / "stages" / run_id):
            if found := _read_note(room / stage / "base"):
                return found
        return ""

    async def release(self, run_id: str, *, tag: str, message: str) -> str:
        """Merge the run's branch into main, tag it, and bring the checkout of main up to date, once.

        Gives the merge commit, whose tree is the branch's. The checkout is left alone where a person changed
        something in it. Raises TagTaken, and MainMoved where the branch lacks something that main has; then
        nothing is changed.
        """
        async with self._lock.held() as lock:
            git = self._git.locked(lock)
            return await release.release(
                git, self.path, run_id, refs.branch(run_id), refs.checked(tag), message
            )

    async def main(self) -> str:
        """The newest commit of main."""
        return (await self._git.resolve("refs/heads/main"))[0]

    async def standing(self, run_id: str) -> tuple[str, bool]:
        """What the run's branch has to take in before its release, and whether it is to take its place.

        Main; but where main has a result of the run that a rollback has undone, first what main was before
        that, then that result itself, which the branch supersedes.
        """
        branch = refs.branch(run_id)
        found = await release.replaced(self._git, branch, await refs.undone(self._git, run_id))
        if found is None:
            return await self.main(), False
        merge, before = found
        known = await self._git("merge-base", "--is-ancestor", before, branch, ok=(0, 1))
        return (merge, True) if known.code == 0 else (before, False)

    async def meet(self, standing: str, yours: str) -> Meeting:
        """How two commits meet: contained, cleanly, or with conflicts. Changes nothing."""
        return await reconciling.meet(self._git, *await self._git.resolve(standing, yours))

    async def lay_out(
        self, meeting: Meeting, paths: Sequence[str], *, parent: str, onto: str | None = None
    ) -> LaidOut:
        """A commit that holds both sides in `paths`, for a worktree; on no branch."""
        return await reconciling.lay_out(self._git, meeting, paths, parent=parent, onto=onto)

    async def take_in(
        self, run_id: str, meeting: Meeting, *, name: str, tree_of: str | None = None, message: str
    ) -> str:
        """Merge what stands (main) into the run's branch, once for each `name`; gives the merge commit.

        The tree is that of `tree_of`, or the clean merge's, with the mail that came meanwhile. Raises
        BranchMoved, and changes nothing, where the branch got anything else since `meeting.yours`.
        """
        branch, marks = refs.branch(run_id), {"Factory-Run": run_id, "Factory-Stage": name}
        async with self._lock.held() as lock:
            git = self._git.locked(lock)
            if done := await refs.merged(git, refs.base(run_id), branch, name):
                return done
            (head,) = await git.resolve(branch)
            mail = await posting.only_added(git, meeting.yours, head, posting.MAIL)
            if mail is None:
                raise BranchMoved(f"factory/{run_id} is at {head[:12]}, not at {meeting.yours[:12]}")
            if mail and tree_of is not None:
                index = self._folder / "posting.index"
                tree_of = await posting.with_blobs(git, f"{tree_of}^{{tree}}", mail, index)
            return await reconciling.take_in(
                *(git, branch, meeting.standing, head), tree_of=tree_of, message=message, marks=marks
            )

    async def trailers(self, base: str, commit: str, path: str, trailer: str) -> list[str]:
        """Who touched a path between two commits, by a trailer of theirs, the newest first."""
        common = (await self._git("merge-base", refs.revision(base), refs.revision(commit))).text
        return await reconciling.authors(self._git, common, refs.revision(commit), path, trailer)

    async def tag(self, run_id: str, *, tag: str, message: str) -> str:
        """Tag the run's head, once, and leave main to the remote. Gives the head. Raises TagTaken."""
        async with self._lock.held() as lock:
            return await release.tag_head(
                self._git.locked(lock), refs.branch(run_id), refs.checked(tag), message.strip() or tag
            )

    async def push(self, run_id: str, remote: Remote, token: str | None, branch: str | None = None) -> bool:
        """Bring the run's head to `branch` at the remote (its own if not given); False where it is there.

        Raises BranchTaken and PushFailed; then the remote is as it was.
        """
        return await push(
            self._git, remote, token, await self.run_head(run_id), branch or remote.branch(run_id)
        )

    async def sync(self, remote: Remote, token: str | None) -> Synced:
        """Move main forward to the remote's base branch. Raises RemoteDiverged and SyncFailed."""
        async with self._lock.held() as lock:
            return await sync(self._git.locked(lock), self.path, remote, token)


async def _files_of(git: Git, commit: str) -> list[str]:
    return (await git("diff-tree", "-r", "-z", "--name-only", "--no-commit-id", commit)).names


def _opened(note: Path) -> str:
    """The commit that a stage was opened at, as its note says; empty where it is not open. Makes its room."""
    note.parent.mkdir(parents=True, exist_ok=True)
    return _read_note(note)


def _read_note(note: Path) -> str:
    return note.read_text().strip() if note.exists() else ""


def _generation() -> str:
    """What the folders of a run end in whose holder before may still be alive: it keeps its own."""
    fence = fencing.current()
    return f"{_NEXT}{fence.generation:06d}" if fence is not None and fence.generation else ""


def _note(note: Path, commit: str) -> None:
    fresh = note.with_name(f"{note.name}.new")
    fresh.write_text(commit)
    fresh.rename(note)
