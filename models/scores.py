"""What is told to a tracing service of how the work of a run was judged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Score:
    """How somebody ruled on the work of a run, or on what was said in a talk."""

    run_id: str
    """The run, or the talk's chain of the log: the session that it belongs to."""
    key: str
    """Idempotency key: one score for one (run, key); told again, it takes its own place."""
    name: str
    """Who ruled: `gate`, `review` or `feedback`."""
    value: str
    """The ruling, one of a few words."""
    comment: str = ""
    about: Mapping[str, str | int] = field(default_factory=dict[str, str | int])
