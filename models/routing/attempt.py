"""One physical request: whatever happens, its room, its reservation and its account are settled once."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from langchain_core.messages import AIMessageChunk, BaseMessage

from core import clock
from core.errors import FactoryError
from models.answer import Answer, Heard
from models.budget import Guard, Intent, Reservation, Spent
from models.calls import Call
from models.catalogue import Limits, Routing
from models.errors import ContextOverflow, ModelStopped, ModelTooSmall, ProviderMissing, UnknownModel
from models.routing.deployment import Deployment, Request
from models.routing.failures import Failure, Verdict, failure_of
from models.routing.quota import Ticket

Incident = Callable[[Call, Deployment, Failure], Awaitable[None]]
"""Told when an account was taken out of use."""

_OUT: frozenset[Verdict] = frozenset({"auth", "spent", "missing"})
"""Failures that take an account, or a model of it, out until somebody does something about it."""
_NOTHING = Spent(0, 0, Decimal(0))


@dataclass(frozen=True, slots=True)
class Desk:
    """What every attempt needs."""

    guard: Guard
    incident: Incident
    rules: Routing
    limits: Limits


class RoomLapsed(Exception):
    """Room in a limit was taken, and the share that it was in has expired before anything was sent."""


class Attempt:
    """One request to one deployment."""

    def __init__(
        self, deployment: Deployment, desk: Desk, tickets: Sequence[Ticket], heard: Heard | None
    ) -> None:
        self.said = Answer()
        self.spent = _NOTHING
        self.format_honoured: bool | None = None
        self.heard_of = False
        """Whether a listener was told of anything."""
        self._deployment = deployment
        self._desk = desk
        self._tickets = tickets
        self._heard = heard

    async def run(
        self, messages: list[BaseMessage], request: Request, intent: Intent
    ) -> Failure | ModelStopped | None:
        """Send it; None for a whole answer.

        Raises what the guard raises, CancelledError, and RoomLapsed; after that one nothing was sent or kept.
        """
        try:
            reservation = await self._desk.guard.reserve(intent)
        except BaseException:
            for ticket in self._tickets:
                ticket.unused()
            raise
        # A process may have stood still since it took the room, and others have it by now.
        if not all(ticket.covered for ticket in self._tickets):
            for ticket in self._tickets:
                ticket.unused()
            await self._desk.guard.release(reservation)
            raise RoomLapsed
        deployment = self._deployment
        deployment.started(self._desk.rules, self._desk.limits.call_seconds)
        started = clock.monotonic()
        try:
            self.format_honoured = await deployment.endpoint.exchange(
                messages, request, self.said, self._listen
            )
            _require_whole(deployment, self.said, request)
        except asyncio.CancelledError:
            deployment.left()
            # A second cancellation must not lose what was spent.
            await asyncio.shield(self._given_up(reservation, request))
            raise
        except ModelStopped as stopped:
            # It answers; that it was of no use is the model's fault, not the account's.
            deployment.succeeded(clock.monotonic() - started)
            await self._settle(reservation, request, counted=self.said.done_reason is not None)
            return stopped
        except FactoryError as error:
            return await self._failed(Failure(_meaning(error), str(error)), intent.call, reservation, request)
        except Exception as error:  # noqa: BLE001 (each library has its own kinds; each is judged)
            return await self._failed(failure_of(error, clock.now()), intent.call, reservation, request)
        deployment.succeeded(clock.monotonic() - started)
        await self._settle(reservation, request, counted=True)
        return None

    def _listen(self, chunk: AIMessageChunk) -> None:
        for ticket in self._tickets:
            ticket.heard()
        if self._heard is not None:
            self.heard_of = True
            self._heard(chunk)

    async def _given_up(self, reservation: Reservation, request: Request) -> None:
        if self._charged(request):
            await self._settle(reservation, request, counted=False)
            return
        for ticket in self._tickets:
            ticket.over(request.prompt)
        await self._desk.guard.release(reservation)

    async def _failed(
        self, failure: Failure, call: Call, reservation: Reservation, request: Request
    ) -> Failure:
        self._deployment.failed(failure, self._desk.rules)
        if self._charged(request):
            await self._settle(reservation, request, counted=False)
        else:
            for ticket in self._tickets:
                # A server that refuses a request has counted it; one that is not there has not.
                ticket.unused() if failure.verdict == "unreachable" else ticket.over(request.prompt)
            await self._desk.guard.release(reservation)
        if failure.verdict in _OUT:
            await self._desk.incident(call, self._deployment, failure)
        return failure

    def _charged(self, request: Request) -> bool:
        """Whether anything was exchanged that costs tokens."""
        return any(self.said.spent(request.prompt, self._desk.limits))

    async def _settle(self, reservation: Reservation, request: Request, *, counted: bool) -> None:
        """Put what was used in the place of what was set aside. What nobody counted is estimated."""
        inputs, outputs = self.said.spent(request.prompt, self._desk.limits)
        cost = self._deployment.spec.cost(inputs, outputs)
        self.spent = Spent(inputs, outputs, cost, counted)
        for ticket in self._tickets:
            ticket.over(inputs + outputs)
        await self._desk.guard.settle(reservation, self.spent)


def intent_of(
    deployment: Deployment, request: Request, call: Call, project: str | None, number: int
) -> Intent:
    """What a budget is asked for."""
    cost = deployment.spec.cost(request.prompt, request.answer)
    return Intent(
        call=call,
        key=f"{call.key}#{number}",
        project=project,
        account=deployment.account.name,
        provider=deployment.account.provider,
        model=deployment.model,
        input_tokens=request.prompt,
        output_tokens=request.answer,
        cost_usd=cost if deployment.priced else None,
        attempt=number,
    )


def _meaning(error: FactoryError) -> Verdict:
    """What an error of our own rules says about an account."""
    if isinstance(error, ContextOverflow | ModelTooSmall):
        return "overflow"
    return "missing" if isinstance(error, UnknownModel | ProviderMissing) else "broken"


def _require_whole(deployment: Deployment, said: Answer, request: Request) -> None:
    if said.done_reason == "length":
        raise ModelStopped(
            f"{deployment.name} stopped for length after {said.output_tokens} tokens "
            f"(num_predict {request.answer})",
            untouched="The reply is not used",
            todo="Ask for less at once, or raise num_predict of this model in the models file",
            raw=said.text,
        )
    if said.done_reason == "filtered":
        raise ModelStopped(
            f"{deployment.name} stopped: its provider's filter refused the answer",
            untouched="The reply is not used",
            todo="Another model may do better",
            raw=said.text,
        )
    if not said.text.strip() and not said.tool_calls and not said.invalid_tool_calls:
        raise ModelStopped(
            f"{deployment.name} answered nothing", todo="Another model may do better", raw=said.thinking
        )
