"""What `factory doctor` says of one thing, here or at a server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "warning", "missing"]
"""ok: works. warning: the factory works with less. missing: it does not work."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was tried."""

    name: str
    state: State
    detail: str
    todo: str = ""
