"""How long a project's questions to people stay open."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Minutes = Annotated[int, Field(ge=1, le=525_600)]
"""At most a year."""


class Deadlines(BaseModel):
    """Minutes that a question of each kind waits; without any it waits for as long as nobody answers."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)

    approval: Minutes | None = None
    clarification: Minutes | None = None
    escalation: Minutes | None = None
    review: Minutes | None = None
    budget: Minutes | None = None
    release: Minutes | None = None

    def of(self, kind: str) -> timedelta | None:
        """How long a question of this kind waits; None where it has no deadline."""
        minutes: int | None = getattr(self, kind) if kind in type(self).model_fields else None
        return None if minutes is None else timedelta(minutes=minutes)
