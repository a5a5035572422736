"""Who makes the request that is being answered."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Final

from governance.access import Principal

calling: Final[ContextVar[Principal | None]] = ContextVar("calling", default=None)
"""Set by the guard for each request; None where nobody is signed in."""
