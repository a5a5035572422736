"""Keys of what a run does again after it was rolled back: they must not be those of the first time.

An effect that carries a key happens once. What a rollback has undone is to happen anew, so from then on each
name that a node gives to an effect (event, approval, model call, worktree, tag) ends in its number.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def again(state: Mapping[str, Any]) -> str:
    """What the names of this passage end in: nothing at first, `.again2` after the second rollback."""
    return ending(state.get("rollbacks") or 0)


def ending(rollbacks: int) -> str:
    """The same, from the number of the run's rollbacks."""
    return f".again{rollbacks}" if rollbacks else ""
