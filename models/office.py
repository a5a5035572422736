"""What all models of a process share, and how one call is answered: traced, recorded, and in the ledger."""

import asyncio
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Self

from core import clock
from core.database import Database
from core.errors import FactoryError
from core.events import EventLog
from core.redaction import redact
from models import ledger
from models.accounts import POOL
from models.asking import OFFLINE, OLLAMA, Offline, Question, ask_ollama, ask_pool
from models.budget import Guard, Unlimited
from models.calls import Reply
from models.cassette import Asked, Replay
from models.catalogue import Catalogue
from models.chains import Chains
from models.errors import ModelFailure
from models.incidents import Incidents
from models.masking import masked
from models.recording import Recorder
from models.routing.pool import AccountPool
from models.routing.router import Router
from models.spending.guard import BudgetReached
from models.tracing import Tracer, traced

if TYPE_CHECKING:
    from models.chains import Candidate


@dataclass(frozen=True, slots=True)
class Office:
    """What all views of a process's models share."""

    catalogue: Catalogue
    chains: Chains
    db: Database | None
    guard: Guard
    router: Router
    offline: Offline
    is_offline: bool
    replay: Replay | None = None
    """Answers in place of any model."""
    recorder: Recorder | None = None
    tracer: Tracer | None = None
    """Who is told of calls and rulings."""

    @classmethod
    def made(
        cls, catalogue: Catalogue, chains: Chains, db: Database | None, guard: Guard | None, *, offline: bool
    ) -> Self:
        """With a router of its own, and nobody who records, replays or traces."""
        guard = guard or Unlimited()
        incidents = Incidents(None if db is None else EventLog(db))
        router = Router(catalogue, guard, incidents.tell)
        return cls(catalogue, chains, db, guard, router, Offline(catalogue.limits), offline)

    async def answered(self, question: Question, chosen: "Candidate | None", candidate: int) -> Reply:
        """The reply of `chosen` (of the script or cassette, for None), with its row in the ledger, failed or
        not; raises what `Models.complete` says."""
        started = clock.monotonic()
        try:
            reply = await traced(self.tracer, question, self._taped(chosen, question, candidate))
        except BudgetReached:
            raise  # nothing was sent: no call
        except FactoryError as error:
            if isinstance(error, ModelFailure):
                error.raw = redact(error.raw)
            await self._record_failure(chosen, question, error, clock.monotonic() - started)
            raise
        reply = masked(reply, question.call)
        if self.db is not None:
            await ledger.record(
                self.db,
                question.call,
                alias=question.alias,
                provider=reply.provider,
                account=reply.account,
                model=reply.model,
                status="ok",
                input_tokens=reply.input_tokens,
                output_tokens=reply.output_tokens,
                cost_usd=reply.cost_usd,
                seconds=reply.seconds,
                charges=reply.charges,
            )
        return reply

    async def _taped(self, chosen: "Candidate | None", question: Question, candidate: int) -> Reply:
        """Ask, and write down what came; or look it up where a cassette answers."""
        replay, recorder = self.replay, self.recorder
        asked = Asked(
            question.call, question.alias, candidate, question.messages, question.schema, question.tools
        )
        if replay is not None:
            return replay.reply(asked)
        if recorder is not None:
            await asyncio.to_thread(recorder.begin, question.call.run_id)
        try:
            reply = await self._ask(chosen, question)
        except FactoryError as error:
            if recorder is not None:
                await asyncio.to_thread(recorder.failed, asked, error)
            raise
        if recorder is not None:
            await asyncio.to_thread(recorder.replied, asked, reply)
        return reply

    async def _ask(self, chosen: "Candidate | None", question: Question) -> Reply:
        if chosen is None:
            return await self.offline.ask(question)
        if isinstance(chosen, AccountPool):
            return await ask_pool(self.router, chosen, question, self.catalogue.limits)
        return await ask_ollama(self.guard, chosen, question, self.catalogue.limits)

    async def _record_failure(
        self, chosen: "Candidate | None", question: Question, error: FactoryError, seconds: float
    ) -> None:
        if self.db is None:
            return
        inputs, outputs, cost = 0, 0, Decimal(0)
        provider, account, model = OFFLINE, "", OFFLINE
        if isinstance(error, ModelFailure):
            inputs, outputs, cost = error.input_tokens, error.output_tokens, error.cost_usd or cost
            provider, account, model = error.provider, error.account, error.model
        if isinstance(chosen, AccountPool):
            provider, model = provider or "pool", model or f"{POOL}{chosen.name}"
        elif chosen is not None:
            provider, account, model = OLLAMA, "", chosen.name
            cost = chosen.spec.cost(inputs, outputs)
        else:
            provider, account, model = OFFLINE, "", OFFLINE
        await ledger.record(
            self.db,
            question.call,
            alias=question.alias,
            provider=provider,
            account=account,
            model=model,
            status="error",
            input_tokens=inputs,
            output_tokens=outputs,
            cost_usd=cost,
            seconds=seconds,
            charges=error.charges if isinstance(error, ModelFailure) else (),
            error=f"{error.code}: {error}",
        )
