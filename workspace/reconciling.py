"""Bringing main into a run's branch before its release, so that what goes to main is what was checked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from core import faults
from workspace import conflicts
from workspace.conflicts import Conflict, Labels
from workspace.git import Git
from workspace.merge import commit_text


@dataclass(frozen=True, slots=True)
class Meeting:
    """How two commits meet."""

    standing: str
    yours: str
    contained: bool
    """Whether `yours` has all of `standing` already: nothing to merge."""
    conflicts: tuple[Conflict, ...]

    @property
    def labels(self) -> Labels:
        """What the markers say."""
        return labels(self.standing, self.yours)


def labels(standing: str, yours: str) -> Labels:
    """What the marker lines say where these two commits meet."""
    return Labels(f"standing {standing[:12]}", f"yours {yours[:12]}")


@dataclass(frozen=True, slots=True)
class LaidOut:
    """A commit whose files hold both sides where they conflict."""

    commit: str
    places: dict[str, list[str]]
    """Of each file, the places to decide."""
    refused: tuple[str, ...]
    """Files that no text can lay out: binary ones, links, folders in the place of files."""


async def meet(git: Git, standing: str, yours: str) -> Meeting:
    """How two commits meet. Changes nothing."""
    if (await git("merge-base", "--is-ancestor", standing, yours, ok=(0, 1))).code == 0:
        return Meeting(standing, yours, True, ())
    _, found = await conflicts.between(git, standing, yours)
    return Meeting(standing, yours, False, tuple(found))


async def lay_out(
    git: Git, meeting: Meeting, paths: Sequence[str], *, parent: str, onto: str | None = None
) -> LaidOut:
    """A commit on `parent` with the conflicts of `paths` marked and all others as on your side.

    With `onto`, its tree is taken as it is, but for `paths`: what was repaired before stays repaired.
    """
    marked = [conflict for conflict in meeting.conflicts if conflict.path in paths]
    kept: list[Conflict] = []
    tree = f"{onto}^{{tree}}"
    if onto is None:
        tree, _ = await conflicts.between(git, meeting.standing, meeting.yours)
        kept = [conflict for conflict in meeting.conflicts if conflict.path not in paths]
    laid, refused = await conflicts.lay_out(git, tree, marked, kept, meeting.labels)
    text = b"Lay out what conflicts\n"
    commit = (await git("commit-tree", laid, "-p", parent, "-F", "-", stdin=text)).text
    places: dict[str, list[str]] = {}
    for conflict in marked:
        if conflict.path not in refused:
            blob = (await git("cat-file", "blob", f"{commit}:{conflict.path}")).out
            places[conflict.path] = meeting.labels.places(blob.decode("utf-8", "replace"))
    return LaidOut(commit, places, tuple(refused))


async def take_in(
    git: Git,
    branch: str,
    standing: str,
    yours: str,
    *,
    tree_of: str | None,
    message: str,
    marks: Mapping[str, str],
) -> str:
    """Move `branch` from `yours` to a merge of both: of `tree_of`'s tree, or the clean merge's.

    The caller holds the project's lock, and knows that the branch is at `yours`.
    """
    if tree_of is None:
        tree, found = await conflicts.between(git, standing, yours)
        assert not found, "a clean merge"
    else:
        tree = (await git.resolve(f"{tree_of}^{{tree}}"))[0]
    text = commit_text(message, marks).encode()
    commit = (await git("commit-tree", tree, "-p", yours, "-p", standing, "-F", "-", stdin=text)).text
    await git.clear_stale_locks(branch)
    await git("update-ref", branch, commit, yours)
    faults.point("merge.taken_in")
    return commit


async def authors(git: Git, base: str, commit: str, path: str, trailer: str) -> list[str]:
    """The values of a trailer on the commits between that touched the path, the newest first, each once."""
    form = f"--format=%(trailers:key={trailer},valueonly,separator=%x09)"
    listed = (await git("log", "-m", "--first-parent", form, f"{base}..{commit}", "--", path)).text
    return list(dict.fromkeys(value for line in listed.split("\n") for value in line.split("\t") if value))
