"""A sandbox that is worked in, and its snapshots."""

import asyncio
import re
from dataclasses import dataclass, field

from workspace.errors import SnapshotUnknown
from workspace.git import Git
from workspace.repository import Repository
from workspace.stage import StageTree

OWNER = "mcp"
"""What stands in the place of a run's id in the sandboxes' folders and refs."""

_COMMIT = re.compile(r"[0-9a-f]{40,64}")


@dataclass
class Opened:
    """A sandbox that this process works in; no other process does meanwhile."""

    repository: Repository
    tree: StageTree
    git: Git
    claim: int
    """Descriptor of the lock that says so."""
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    """One request at a time."""

    @property
    def refs(self) -> str:
        """Where the snapshots are kept, so that git never takes one away."""
        return f"refs/factory/{OWNER}/kept/{self.tree.stage}"

    async def snapshot(self, message: str) -> str:
        """Record all that is there now, and keep it whatever is restored later."""
        commit = await self.tree.snapshot(message)
        if commit != self.tree.base:
            await self.git("update-ref", f"{self.refs}/{commit}", commit)
        return commit

    async def kept(self) -> list[str]:
        """The snapshots that can be restored, beside the base; the newest last."""
        form = ("--sort=committerdate", "--format=%(objectname)")
        return (await self.git("for-each-ref", *form, f"{self.refs}/")).text.split()

    async def known(self, snapshot: str) -> str:
        """A snapshot that is one of the sandbox's. Raises SnapshotUnknown."""
        if _COMMIT.fullmatch(snapshot) and (snapshot == self.tree.base or snapshot in await self.kept()):
            return snapshot
        raise SnapshotUnknown(
            f"The sandbox has no snapshot {snapshot[:80]!a}",
            untouched="Nothing changed",
            todo="See snapshots",
        )
