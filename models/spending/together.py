"""Sends what many tasks ask for at the same time in one statement, so that a hot row is written once."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from typing import Generic, TypeVar

Asked = TypeVar("Asked")
Given = TypeVar("Given")

_MOST = 256
"""Of one statement."""


class Together(Generic[Asked, Given]):
    """A queue before a function that answers many at once. Keeps no task where nothing is asked."""

    def __init__(self, send: Callable[[Sequence[Asked]], Awaitable[Sequence[Given]]]) -> None:
        self._send = send
        self._waiting: list[tuple[Asked, asyncio.Future[Given]]] = []
        self._sending: asyncio.Task[None] | None = None

    def ask(self, what: Asked) -> "asyncio.Future[Given]":
        """The answer to come. Who is cancelled while waiting has asked all the same."""
        answer: asyncio.Future[Given] = asyncio.get_running_loop().create_future()
        self._waiting.append((what, answer))
        if self._sending is None or self._sending.done():
            # In a context of its own: it serves others than who happened to be first.
            self._sending = asyncio.get_running_loop().create_task(self._run(), context=Context())
        return answer

    async def _run(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[:_MOST], self._waiting[_MOST:]
            try:
                answers = await self._send([what for what, _ in batch])
            except BaseException as error:
                for _, answer in batch:
                    if not answer.done():
                        answer.set_exception(_told(error))
                        answer.exception()  # who was cancelled will not look
                if isinstance(error, asyncio.CancelledError):
                    raise
                continue
            for (_, answer), given in zip(batch, answers, strict=True):
                if not answer.done():
                    answer.set_result(given)


def _told(error: BaseException) -> BaseException:
    return ConnectionError("the process is ending") if isinstance(error, asyncio.CancelledError) else error
