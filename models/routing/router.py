"""One call through a pool: pick, take room, reserve, ask; on a failure the next one.

What failed for free (a refused key, a full account, a server that is not there) is followed by the next
account at once, as often as there are any; what may have been charged is tried again a bounded number of
times. Nothing is tried again after a listener has heard the beginning of an answer.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from langchain_core.messages import BaseMessage

from core import clock, logs
from models.answer import Answer, Heard
from models.budget import Guard, Spent
from models.calls import Call, Charge
from models.catalogue import Catalogue
from models.errors import (
    ContextOverflow,
    ModelFailure,
    ModelStopped,
    ModelTooSmall,
    ModelUnavailable,
    PoolExhausted,
)
from models.privacy import untraced
from models.routing.attempt import Attempt, Desk, Incident, RoomLapsed, intent_of
from models.routing.deployment import Deployment, Request
from models.routing.failures import Failure
from models.routing.pool import AccountPool, Need
from models.routing.quota import Ticket
from models.window import CODING, fit

_log = logs.get(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """A whole answer, and where it came from."""

    deployment: Deployment
    answer: Answer
    format_honoured: bool | None
    input_tokens: int
    """Of this answer and of the attempts before it that were charged; so are the next two."""
    output_tokens: int
    cost_usd: Decimal
    charges: tuple[Charge, ...] = ()
    """Of that, what others than `deployment` charged."""


@dataclass(slots=True)
class _Done:
    """What happened in one call so far."""

    attempts: int = 0
    charged: int = 0
    """Failures that may have cost something."""
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: Decimal = Decimal(0)
    charges: list[Charge] = field(default_factory=list[Charge])
    failed: list[Deployment] = field(default_factory=list[Deployment])
    last: str = ""
    raw: str = ""
    """What was heard last of an answer that broke off."""

    def add(self, deployment: Deployment, spent: Spent) -> None:
        """Something was spent."""
        if spent.input_tokens or spent.output_tokens:
            self.charges.append(
                Charge(
                    deployment.account.name,
                    deployment.account.provider,
                    deployment.model,
                    spent.input_tokens,
                    spent.output_tokens,
                    spent.cost_usd,
                )
            )
        self.input_tokens += spent.input_tokens
        self.output_tokens += spent.output_tokens
        self.cost_usd += spent.cost_usd


class Router:
    """Asks pools. One for a process."""

    def __init__(self, catalogue: Catalogue, guard: Guard, incident: Incident) -> None:
        self._limits = catalogue.limits
        self._retry = catalogue.retry
        self._desk = Desk(guard, incident, catalogue.routing, catalogue.limits)

    def need(self, request: Request, *, local_only: bool) -> Need:
        """What a request asks of a model."""
        return Need(
            request.prompt,
            self._limits.least_answer,
            frozenset({"tools"}) if request.tools else frozenset(),
            local_only,
            self._limits.least_context if request.kind in CODING else 0,
        )

    async def ask(
        self,
        pool: AccountPool,
        messages: Sequence[BaseMessage],
        request: Request,
        call: Call,
        *,
        project: str | None = None,
        local_only: bool = False,
        heard: Heard | None = None,
    ) -> Outcome:
        """A whole answer from one of the pool.

        Raises PoolExhausted, ModelTooSmall, ContextOverflow, ModelStopped, ModelUnavailable, and what the
        budget's guard raises.
        """
        need = self.need(request, local_only=local_only)
        done = _Done()
        with untraced(local_only):
            try:
                return await self._in_time(pool, list(messages), request, call, project, need, heard, done)
            except ModelFailure as failure:
                failure.input_tokens, failure.output_tokens = done.input_tokens, done.output_tokens
                failure.cost_usd = done.cost_usd
                failure.charges = tuple(done.charges)
                failure.raw = failure.raw or done.raw
                if done.failed:
                    last = done.failed[-1]
                    failure.account, failure.model = last.account.name, last.model
                    failure.provider = last.account.provider
                raise

    async def _in_time(self, pool: AccountPool, *how: Any) -> Outcome:
        done: _Done = how[-1]
        try:
            async with asyncio.timeout(self._limits.call_seconds):
                return await self._ask(pool, *how)
        except TimeoutError:
            raise ModelUnavailable(
                f"pool {pool.name} did not answer within {self._limits.call_seconds:g} s"
                + (f"; the last failure: {done.last}" if done.last else ""),
                todo="See `factory models why`, then resume the run",
            ) from None

    async def _ask(
        self,
        pool: AccountPool,
        messages: list[BaseMessage],
        request: Request,
        call: Call,
        project: str | None,
        need: Need,
        heard: Heard | None,
        done: _Done,
    ) -> Outcome:
        patience = clock.monotonic() + self._limits.patience_seconds
        while True:
            deployment = await self._next(pool, need, request, done, patience)
            sized = replace(request, answer=self._room(deployment, request))
            tickets = await self._take(deployment, sized)
            if tickets is None:
                continue
            done.attempts += 1
            intent = intent_of(deployment, sized, call, project, done.attempts)
            attempt = Attempt(deployment, self._desk, tickets, heard)
            try:
                failure = await attempt.run(messages, sized, intent)
            except RoomLapsed:
                continue
            finally:
                done.add(deployment, attempt.spent)
            if failure is None:
                pool.proved(deployment)
                return Outcome(
                    deployment,
                    attempt.said,
                    attempt.format_honoured,
                    done.input_tokens,
                    done.output_tokens,
                    done.cost_usd,
                    tuple(charge for charge in done.charges if not _is_of(charge, deployment)),
                )
            if isinstance(failure, ModelStopped):
                done.failed.append(deployment)
                raise failure
            need = self._after(pool, deployment, failure, need, done, attempt)

    def _after(
        self,
        pool: AccountPool,
        deployment: Deployment,
        failure: Failure,
        need: Need,
        done: _Done,
        attempt: Attempt,
    ) -> Need:
        """Raise where trying again cannot help; else what is needed now."""
        done.last = f"{deployment.name}: {failure.words}"
        done.failed.append(deployment)
        done.raw = attempt.said.text or attempt.said.earlier_text or done.raw
        _log.warning(
            "model call failed", account=deployment.name, verdict=failure.verdict, error=failure.words
        )
        if attempt.heard_of:
            raise ModelUnavailable(
                f"{deployment.name} broke off in the middle of its answer: {failure.words}",
                untouched="What was heard of it is not used",
                todo="Ask again",
                raw=attempt.said.text,
            )
        if failure.verdict == "refused":
            raise ModelUnavailable(
                f"{deployment.name} refused the request: {failure.words}",
                todo="Correct this model's capabilities in the models file",
            )
        if failure.verdict == "overflow":
            larger = replace(need, least_window=max(need.least_window, deployment.window + 1))
            if not pool.fits(larger):
                raise ContextOverflow(
                    f"{deployment.name} refused the prompt: {failure.words}",
                    untouched="No model of the pool has a larger window",
                    todo="Shorten the prompt, or add a model with a larger window to the pool",
                )
            return larger
        if not failure.free:
            done.charged += 1
            if done.charged >= self._retry.attempts:
                raise ModelUnavailable(
                    f"pool {pool.name} failed {done.charged} times; the last: {done.last}",
                    todo="See `factory models why`, then resume the run",
                    raw=attempt.said.text,
                )
        return need

    async def _next(
        self, pool: AccountPool, need: Need, request: Request, done: _Done, patience: float
    ) -> Deployment:
        """Who is asked now; waits a while for one that is to come back."""
        while True:
            deployment = pool.pick(need, done.failed[-50:])
            if deployment is not None:
                return deployment
            if not pool.fits(need):
                raise _unfit(pool, need, request)
            soonest = pool.soonest(need)
            now = clock.monotonic()
            if soonest is None or soonest > patience:
                raise PoolExhausted(
                    f"No account of pool {pool.name} can answer now: {_reasons(pool, need)}",
                    untouched="Nothing was sent" if not done.attempts else "",
                    todo="See `factory models why`, correct the accounts or wait, then resume the run",
                )
            await asyncio.sleep(max(0.0, soonest - now))

    def _room(self, deployment: Deployment, request: Request) -> int:
        """The most tokens that this deployment's answer may have."""
        most = (
            min(request.answer, deployment.spec.num_predict)
            if request.answer
            else deployment.spec.num_predict
        )
        return fit(request.prompt, deployment.window, most, self._limits).answer

    async def _take(self, deployment: Deployment, request: Request) -> list[Ticket] | None:
        """Room in every limit of the account, or None, and then it is left alone until there is some."""
        tickets: list[Ticket] = []
        try:
            for quota in (*deployment.account.quotas, *deployment.quotas):
                amount = 1 if quota.counts == "requests" else request.prompt + request.answer
                ticket = await quota.take(amount)
                if isinstance(ticket, Ticket):
                    tickets.append(ticket)
                    continue
                for taken in tickets:
                    taken.unused()
                until = clock.monotonic() + ticket
                deployment.park(until, f"{quota.name}: {quota.supply} in {quota.window:g} s are used up")
                return None
        except BaseException:
            for taken in tickets:
                taken.unused()
            raise
        return tickets


def _is_of(charge: Charge, deployment: Deployment) -> bool:
    return (charge.account, charge.model) == (deployment.account.name, deployment.model)


def _unfit(pool: AccountPool, need: Need, request: Request) -> ModelFailure:
    """Why no deployment of a pool could ever answer such a call."""
    reasons = _reasons(pool, need)
    wanted = need.prompt + need.answer
    windows = [one.deployment.window for one in pool.considered(replace(need, prompt=0, answer=0))]
    if windows and max(windows) < wanted:
        return ContextOverflow(
            f"The prompt does not fit any model of pool {pool.name}: it has about {need.prompt} tokens, the "
            f"largest window {max(windows)}, and the answer needs at least {need.answer}",
            untouched="Nothing was sent",
            todo="Shorten the prompt, or add a model with a larger window",
        )
    if windows and max(windows) < need.least_window:
        return ModelTooSmall(
            f"No model of pool {pool.name} has the window of {need.least_window} tokens that "
            f"{request.kind} needs",
            untouched="Nothing was sent",
            todo="Add a model with a larger window to the pool",
        )
    return PoolExhausted(
        f"No account of pool {pool.name} is fit for this call: {reasons}",
        untouched="Nothing was sent",
        todo="See `factory models why`, and correct the pool in the models file",
    )


def _reasons(pool: AccountPool, need: Need) -> str:
    """Why not, in numbers: the commonest reasons of a pool's deployments."""
    counted: dict[str, int] = {}
    for one in pool.considered(need):
        if one.excluded:
            reason = one.excluded.split(" (for ")[0]
            counted[reason] = counted.get(reason, 0) + 1
    told = sorted(counted.items(), key=lambda item: -item[1])[:4]
    return "; ".join(f"{number} of them: {reason}" for reason, number in told) or "it has none"
