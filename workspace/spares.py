"""Worktrees of stages that are over, kept for the next ones.

To change a filled worktree takes milliseconds, to fill an empty one with thousands of files takes seconds.
What lies in a spare is as hostile as the stage that left it, so nothing is taken for what it was: who takes
one looks through it and has git make it the wanted commit, or fills it afresh (`StageTree.begin`).
"""

from __future__ import annotations

import shutil
from pathlib import Path
from uuid import uuid4

from core import faults

MOST = 4
"""Spares of one project: about as many as stages of one wave work side by side."""

_TREE, _INDEX = "tree", "index"


class Spares:
    """The spare worktrees of one project. Every call is for the holder of the project's lock."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, tree: Path, index: Path) -> bool:
        """Take a worktree that nobody uses any more, and its index; False where there are enough."""
        if len(self._whole()) >= MOST or not tree.is_dir() or not index.is_file():
            return False
        slot = self._folder / uuid4().hex
        slot.mkdir(parents=True)
        index.rename(slot / _INDEX)
        faults.point("spare.kept")
        tree.rename(slot / _TREE)  # last: a slot without it is none
        return True

    def give(self, tree: Path, index: Path) -> bool:
        """Put a spare where a stage is to have its worktree and its index, if there is one.

        Nothing may lie at `tree`; what lies at `index` is replaced.
        """
        for slot in self._whole():
            (slot / _INDEX).replace(index)
            faults.point("spare.given")
            tree.parent.mkdir(parents=True, exist_ok=True)
            (slot / _TREE).rename(tree)
            slot.rmdir()
            return True
        return False

    def _whole(self) -> list[Path]:
        """The slots in order of age; halves that a killed process left are removed."""
        slots = sorted(self._folder.glob("*"), key=lambda slot: slot.stat().st_mtime_ns)
        whole = [slot for slot in slots if (slot / _TREE).is_dir() and (slot / _INDEX).is_file()]
        for half in set(slots) - set(whole):
            shutil.rmtree(half, ignore_errors=True)
        return whole
