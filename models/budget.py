"""Where a budget plugs in: before each request to a model its cost is reserved, then settled or released.

The pool and Ollama's models call the guard for every physical request, retries among them, so that a guard
sees what is really spent. A refusal is an exception of the guard's own; nothing was sent then.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from models.calls import Call


@dataclass(frozen=True, slots=True)
class Intent:
    """A request that is about to be sent."""

    call: Call
    key: str
    """Idempotency key of this one request: the call's key and the number of the attempt."""
    project: str | None
    account: str
    """An account's name; `ollama` for the server at FACTORY_OLLAMA_URL."""
    provider: str
    model: str
    input_tokens: int
    """Of the prompt, estimated rather too high."""
    output_tokens: int
    """The most that the answer may have."""
    cost_usd: Decimal | None
    """What these tokens cost; None where the price list does not know the model."""
    attempt: int = 1
    """1 for the first request of a call."""


@dataclass(frozen=True, slots=True)
class Reservation:
    """What a guard set aside for a request."""

    intent: Intent
    id: str = ""
    """The guard's own name for it."""


@dataclass(frozen=True, slots=True)
class Spent:
    """What a request did cost."""

    input_tokens: int
    output_tokens: int
    cost_usd: Decimal
    counted: bool = True
    """Whether the provider counted the tokens; False: it broke off, and they are estimated."""


class Guard(Protocol):
    """Decides whether a request may be sent, and keeps the sums."""

    async def reserve(self, intent: Intent) -> Reservation:
        """Set the cost of a request aside, or raise a FactoryError: then nothing is sent."""
        ...

    async def settle(self, reservation: Reservation, spent: Spent) -> None:
        """Put what was really spent in the place of what was set aside."""
        ...

    async def release(self, reservation: Reservation) -> None:
        """Give back what was set aside: the request was not sent, or nothing of it was charged."""
        ...


class Unlimited:
    """The guard of a factory without budgets."""

    async def reserve(self, intent: Intent) -> Reservation:
        """Always."""
        return Reservation(intent)

    async def settle(self, reservation: Reservation, spent: Spent) -> None:
        """Nothing to keep."""

    async def release(self, reservation: Reservation) -> None:
        """Nothing to give back."""
