"""What the chat works with: an open factory, who executes its runs, and who comes in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from governance.access import Accounts
from graph.runner import Factory


class Dispatch(Protocol):
    """Sees to it that a run is executed, here or elsewhere."""

    async def go_on(self, run_id: str) -> None:
        """Have the run driven until it ends or waits; also after a person answered."""
        ...


@dataclass(frozen=True)
class Desk:
    """One per server process."""

    factory: Factory
    dispatch: Dispatch
    accounts: Accounts
