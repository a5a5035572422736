"""Tells a tracing service of model calls and rulings where the environment has its keys; else loads nothing.

A trace is never worth a run: whatever goes wrong here is a line in the log.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable
from importlib import import_module
from typing import Final, Protocol, cast

from core import logs
from models.asking import Question
from models.calls import Reply
from models.scores import Score

_log = logs.get(__name__)

KEYS: Final = ("LANGFUSE_PUBLIC_KEY", "LANGFUSE_SECRET_KEY")
"""Variables of the environment without which nobody is told anything."""


class Asked(Protocol):
    """A model call that a service was told of; told once how it ended."""

    def answered(self, reply: Reply) -> None: ...
    def failed(self, error: BaseException) -> None: ...


class Tracer(Protocol):
    """A tracing service. Nothing but `address` and `flush` waits, and nothing raises."""

    def asked(self, question: Question) -> Asked: ...
    def scored(self, score: Score) -> None: ...

    async def address(self, session: str) -> str | None:
        """Where a person sees a session; None where the service does not say so in time."""
        ...

    async def flush(self) -> None:
        """Send what was told so far, for a bounded time."""
        ...


async def open_tracer() -> Tracer | None:
    """The service that the environment has the keys of; None without them, or where it cannot be used."""
    if not all(os.environ.get(name) for name in KEYS):
        return None
    try:
        return await asyncio.to_thread(_load)
    except Exception as error:  # noqa: BLE001  (a foreign library with a hundred settings of its own)
        _log.warning("no traces", error=str(error), todo="Correct the LANGFUSE_* variables")
        return None


def _load() -> Tracer:
    return cast(Tracer, import_module("models.langfuse").opened(*(os.environ[name] for name in KEYS)))


async def traced(tracer: Tracer | None, question: Question, answer: Awaitable[Reply]) -> Reply:
    """The answer; a service is told of it, unless nothing of this project may leave the machine."""
    if tracer is None or question.local_only:
        return await answer
    asked = tracer.asked(question)
    try:
        reply = await answer
    except BaseException as error:
        asked.failed(error)
        raise
    asked.answered(reply)
    return reply
