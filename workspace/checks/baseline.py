"""What the checks say of the commit that a run started from, looked up when it is first asked for."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from core.errors import FactoryError
from workspace.checks.scene import Report

Checkout = Callable[[], AbstractAsyncContextManager[Path]]
"""Gives a worktree of the commit, for as long as it is looked at."""


class Baseline:
    """The reports of the checks on one commit. Each check is run there once at most in this process."""

    def __init__(self, commit: str, checkout: Checkout) -> None:
        self.commit = commit
        self._checkout = checkout
        self._reports: dict[str, Report] = {}
        self._lock = asyncio.Lock()

    async def report(self, name: str, look: Callable[[Path], Awaitable[Report]]) -> Report | None:
        """What `look` says of the commit; None where it could not look, which excuses nothing."""
        async with self._lock:
            if name not in self._reports:
                try:
                    async with self._checkout() as tree:
                        self._reports[name] = await look(tree)
                except (FactoryError, OSError):
                    return None
            return self._reports[name]
