"""What jobs there are: a kind's name, who does it, and what becomes of one that fails."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from procrastinate.jobs import Job as Row
from procrastinate.retry import BaseRetryStrategy, RetryDecision

from core.database import DatabaseUnavailable
from core.errors import FactoryError
from core.fencing import Fenced
from models.errors import ModelUnavailable

_LONGEST: Final = 60.0
"""Seconds between two tries of a job that fails for want of something that comes back."""

Payload = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Job:
    """A job as its handler gets it."""

    id: int
    kind: str
    payload: Payload
    attempt: int
    """1 for the first time."""
    lock: str | None


Handler = Callable[[Job], Awaitable[None]]
"""Does a job. It may be cancelled anywhere, and called again after any part of it was done."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of job."""

    name: str
    handler: Handler
    held: bool = False
    """Whether the job's lock is held (graph/holds.py) while it is done, and its effects are fenced."""


class Later(FactoryError):
    """The job is to be done later."""

    http_status = 503

    def __init__(self, seconds: float, why: str) -> None:
        self.seconds = seconds
        super().__init__(why)


class HandedOver(FactoryError):
    """The worker ends; another one goes on."""

    http_status = 503


class Again(BaseRetryStrategy):
    """Jobs come again that were handed over, put off, or failed for want of something that comes back."""

    def get_retry_decision(self, *, exception: BaseException, job: Row) -> RetryDecision | None:
        """When to try again; None for never."""
        match exception:
            case HandedOver():
                return RetryDecision(retry_at=None)
            case Later(seconds=seconds):
                return _after(seconds)
            case DatabaseUnavailable() | ModelUnavailable() | Fenced():
                return _after(min(2.0 ** min(job.attempts, 10), _LONGEST))
            case _:
                return None


def _after(seconds: float) -> RetryDecision:
    # Said as a length of time to the database, which keeps its own clock (graph/queue/store.py).
    return RetryDecision(retry_at=datetime.fromtimestamp(0, UTC) + timedelta(seconds=seconds))
