"""What a client of the protocol can do wrong."""

from __future__ import annotations

from core.errors import BadInput, NotFound


class Conflict(BadInput):
    """The request does not fit how things stand."""

    http_status = 409


class AssistantNotFound(NotFound):
    """There is no such assistant."""


class GraphNotFound(NotFound):
    """There is no such graph."""


class ThreadNotFound(NotFound):
    """There is no such thread."""


def no_thread(thread_id: object, *, untouched: str = "") -> ThreadNotFound:
    """The error of a thread that is not there, or not for who asks."""
    return ThreadNotFound(
        f"There is no thread {str(thread_id)[:80]}",
        untouched=untouched,
        todo="POST /threads/search lists them",
    )


class RunNotFound(NotFound):
    """There is no such run."""


class CronNotFound(NotFound):
    """There is no such cron."""


class NothingWaits(Conflict):
    """Nothing waits for an answer."""


class GraphsInvalid(BadInput):
    """The file of graphs cannot be used."""


class NotHere(Conflict):
    """The factory does not do that with its own runs."""
