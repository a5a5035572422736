"""What belongs to the request that is being answered: who makes it, and what it was shown."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Final

from chat.threads import Shown
from governance.access import Principal

calling: Final[ContextVar[Principal | None]] = ContextVar("calling", default=None)
"""Set by the guard for each request; None where nobody is signed in."""
resuming: Final[ContextVar[list[Shown] | None]] = ContextVar("resuming", default=None)
"""Takes the conversations that are read while a tab comes back to one, which is then sent to it whole."""
