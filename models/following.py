"""Along an alias's chain: the first who gives a reply, pools first and the local Ollama last."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

from langchain_core.messages import BaseMessage

from models.calls import Call, Reply
from models.errors import ModelFailure
from models.service import Models

Failed = Callable[[Call, ModelFailure], Awaitable[None]]
"""Told of each call that gave no reply."""


def numbered(call: Call, candidate: int) -> Call:
    """A call of its own for each place of the chain: one row in the ledger tells of one of them."""
    return replace(call, key=f"{call.key}.{candidate}") if candidate else call


async def first_reply(
    models: Models,
    alias: str,
    messages: Sequence[BaseMessage],
    *,
    call: Call,
    failed: Failed | None = None,
    name: Callable[[Call, int], Call] = numbered,
    over: Callable[[], bool] = lambda: False,
    **how: Any,
) -> tuple[Call, Reply]:
    """The reply of the first that gives one, and the call that brought it; raises the last one's failure.

    `over`: whether nobody else may be asked any more. The rest is as in `Models.complete`.
    """
    last = models.candidates(alias) - 1
    for candidate in range(last + 1):
        this = name(call, candidate)
        try:
            return this, await models.complete(alias, messages, call=this, candidate=candidate, **how)
        except ModelFailure as failure:
            if failed is not None:
                await failed(this, failure)
            if candidate == last or over():
                raise
    raise AssertionError("a chain has at least one candidate")
