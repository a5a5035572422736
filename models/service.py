"""Which model answers: aliases in, replies out, every call in the ledger."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from langchain_core.messages import BaseMessage
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool

from core.database import Database
from core.json import JsonObject, JsonValue
from core.settings import Settings
from models.answer import Heard
from models.asking import OFFLINE, Question
from models.budget import Guard
from models.calls import Call, Reply
from models.cassette import REPLAY, Facts, Replay
from models.catalogue import load
from models.chains import Chains
from models.embeddings.base import Embedder
from models.embeddings.choice import choose
from models.errors import UnknownAlias, UnknownModel
from models.office import Office
from models.opening import connect
from models.recording import Recorder
from models.routing.fleet import Fleet
from models.routing.lending import Lending
from models.routing.pool import AccountPool
from models.routing.router import Router
from models.scores import Score
from models.tracing import open_tracer
from models.window import estimate

if TYPE_CHECKING:
    from models.chains import Candidate

__all__ = ["ANNOUNCEMENT", "OFFLINE", "Models"]

ANNOUNCEMENT = "offline model: scripted output"
_OFFLINE_WINDOW = 131_072  # tokens; the script reads as much as it is given


class Models:
    """The models of one process: opened once, used by every run in it."""

    announcement: str | None
    """What every surface shows while the offline model answers."""

    def __init__(
        self,
        office: Office,
        *,
        project: str | None = None,
        team: str | None = None,
        local_only: bool = False,
        by: str = "",
    ) -> None:
        self._office = office
        self._project = project
        self._team = team
        self._by = by
        self.local_only = local_only or office.catalogue.local_only(project, team)
        """Whether nothing may leave this machine."""
        self.announcement = ANNOUNCEMENT if office.is_offline else None
        if office.replay is not None:
            self.announcement = f"replay: answers recorded in {office.replay.path.name}, no model is asked"

    @classmethod
    async def open(
        cls,
        settings: Settings,
        db: Database | None,
        *,
        override: str | None = None,
        guard: Guard | None = None,
    ) -> "Models":
        """The models that `settings`, the accounts and Ollama have between them.

        `override` (else `settings.model`) puts one model, or `pool:NAME`, behind every alias; `offline` is
        the scripted one, which also answers where nothing was chosen and neither an Ollama nor an account is
        there, and `replay:PATH` has a cassette answer. Without `db` nothing is recorded, and limits hold for
        this process alone. `guard` keeps the budgets. Raises CatalogueInvalid, CassetteInvalid, UnknownModel
        (override), ModelUnavailable.
        """
        catalogue = await asyncio.to_thread(load, settings.models_file)
        wanted = override or settings.model
        recorder = None if settings.record_file is None else Recorder(settings.record_file, settings.home)
        if recorder is not None:
            await asyncio.to_thread(recorder.require_room)
        if wanted == OFFLINE or (wanted or "").startswith(REPLAY):
            office = Office.made(
                catalogue, Chains(catalogue, Fleet(catalogue, None)), db, guard, offline=True
            )
            if wanted == OFFLINE:
                return cls(replace(office, recorder=recorder, tracer=await open_tracer()))
            tape = Path(str(wanted).removeprefix(REPLAY))
            replay = await asyncio.to_thread(Replay.load, tape, settings.home)
            return cls(replace(office, replay=replay, is_offline=False))
        routing, limits = catalogue.routing, catalogue.limits
        lending = Lending(db, routing.lease_seconds, limits.connect_seconds) if db is not None else None
        fleet = await asyncio.to_thread(Fleet.build, catalogue, lending)
        try:
            chains = await connect(settings, catalogue, fleet, wanted)
        except BaseException:
            await fleet.aclose()
            raise
        office = Office.made(catalogue, chains, db, guard, offline=not chains.anybody)
        return cls(replace(office, recorder=recorder, tracer=await open_tracer()))

    def view(
        self, *, project: str | None, team: str | None = None, local_only: bool = False, by: str = ""
    ) -> "Models":
        """The same models as one team of one project sees them, `by` for whom: for traces.

        Costs nothing; the original is closed.
        """
        return Models(
            self._office, project=project, team=team, local_only=local_only or self.local_only, by=by
        )

    async def aclose(self) -> None:
        chains, tracer = self._office.chains, self._office.tracer
        try:
            await chains.fleet.aclose()
            if chains.server is not None:
                await chains.server.aclose()
        finally:
            if tracer is not None:
                await tracer.flush()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    @property
    def is_offline(self) -> bool:
        """Whether the scripted model answers."""
        return self._office.is_offline

    @property
    def chains(self) -> Chains:
        """Who stands behind the aliases, for those who explain it."""
        return self._office.chains

    @property
    def router(self) -> Router:
        """Who asks the pools."""
        return self._office.router

    def aliases(self) -> Mapping[str, tuple[str, ...]]:
        """Who stands behind each alias, in the order they are asked; empty where nobody does."""
        if self._office.is_offline:
            return dict.fromkeys(self._office.catalogue.aliases, (OFFLINE,))
        return {
            alias: tuple(
                entry
                for entry in chain
                if self.chains.candidate(entry, local_only=self.local_only)[0] is not None
            )
            for alias, chain in self.chains.entries(self._project, self._team).items()
        }

    def candidates(self, alias: str) -> int:
        """How many can be asked for an alias. Raises UnknownAlias, and UnknownModel for none."""
        return len(self._facts(alias))

    def native_tools(self, alias: str, candidate: int = 0) -> bool:
        """True: send tool specs and ToolMessages. False: fenced blocks, history as text."""
        return self._fact(alias, candidate).tools

    def context_tokens(self, alias: str, candidate: int = 0) -> int:
        """Tokens of the model's window, prompt and answer together; of a pool, the largest that is there."""
        return self._fact(alias, candidate).window

    def measure(self, messages: Sequence[BaseMessage], tools: Sequence[BaseTool] = ()) -> int:
        """Tokens of a prompt, rather too high than too low: what is held against a window before a call."""
        specs = [convert_to_openai_tool(tool) for tool in tools]
        return estimate(messages, specs, self._office.catalogue.limits)

    @property
    def least_answer(self) -> int:
        """Tokens that a prompt must leave for the answer."""
        return self._office.catalogue.limits.least_answer

    def _fact(self, alias: str, candidate: int) -> Facts:
        facts = self._facts(alias)
        if not 0 <= candidate < len(facts):
            raise UnknownModel(f"{alias} has {len(facts)} models; there is no candidate {candidate}")
        return facts[candidate]

    def _facts(self, alias: str) -> tuple[Facts, ...]:
        office = self._office
        if office.replay is not None:
            return office.replay.facts(self._team, alias)
        if self._is_offline(alias):
            facts = (Facts(tools=False, window=_OFFLINE_WINDOW),)
        else:
            facts = tuple(_facts_of(chosen) for chosen in self._chain(alias))
        if office.recorder is not None:
            office.recorder.facts(self._team, alias, facts)
        return facts

    @property
    def replays(self) -> bool:
        """Whether a cassette answers in place of models, and of memory."""
        return self._office.replay is not None

    def recalled_then(self, key: str, run_id: str) -> JsonValue:
        """What a stage was told from memory when the cassette that answers was recorded; None for nothing."""
        replay = self._office.replay
        return None if replay is None else replay.recalled(key, run_id)

    async def keep_recalled(self, key: str, run_id: str, told: JsonValue) -> None:
        """Let a recording have what a stage was told from memory, so that a replay needs no memory."""
        if self._office.recorder is not None:
            await asyncio.to_thread(self._office.recorder.recalled, run_id, key, told)

    async def embedder(self) -> Embedder:
        """What turns texts into vectors for this project; chosen anew at each call, and said in the log."""
        return await choose(self.chains, self._office.db, project=self._project, local_only=self.local_only)

    async def complete(
        self,
        alias: str,
        messages: Sequence[BaseMessage],
        *,
        call: Call,
        schema: JsonObject | None = None,
        tools: Sequence[BaseTool | JsonObject] = (),
        candidate: int = 0,
        heard: Heard | None = None,
        options: JsonObject | None = None,
    ) -> Reply:
        """One reply of one candidate, with transient retries, and its row in the ledger, failed or not.

        With a schema no tools are sent. `heard` is told of each piece of the answer as it comes; nothing is
        tried again after the first one. Raises ModelUnavailable, ModelStopped, ContextOverflow,
        ModelTooSmall, UnknownModel, UnknownAlias, ModelScriptEnded, and what the budget's guard raises. A
        cancelled call closes its request and leaves no row.
        """
        scripted = self._office.replay is not None or self._is_offline(alias)
        chosen = None if scripted else self.candidate(alias, candidate)
        question = Question(
            alias, messages, call, self._project, self.local_only, schema, tools, heard, options, self._by
        )
        return await self._office.answered(question, chosen, candidate)

    def score(self, score: Score) -> None:
        """Tell whoever traces how somebody ruled; nobody, where nothing may leave this machine."""
        if self._office.tracer is not None and not self.local_only:
            self._office.tracer.scored(score)

    @property
    def traces(self) -> bool:
        """Whether somebody is told of calls and rulings."""
        return self._office.tracer is not None and not self.local_only

    async def traced_at(self, session: str) -> str | None:
        """Where a person sees what was told of a run or a talk; None where nothing is, or nobody knows."""
        tracer = self._office.tracer
        return None if tracer is None or self.local_only else await tracer.address(session)

    def _is_offline(self, alias: str) -> bool:
        self._office.catalogue.chain(alias)  # raises UnknownAlias
        return self._office.is_offline

    def _chain(self, alias: str) -> "list[Candidate]":
        return self.chains.resolve(alias, self._project, self._team, local_only=self.local_only)

    def candidate(self, alias: str, candidate: int = 0) -> "Candidate":
        """Who is asked at a place of an alias's chain. Raises UnknownAlias, UnknownModel."""
        chain = self._chain(alias)
        if not 0 <= candidate < len(chain):
            raise UnknownModel(f"{alias} has {len(chain)} models; there is no candidate {candidate}")
        chosen = chain[candidate]
        embeds = chosen.can("embed") if isinstance(chosen, AccountPool) else chosen.embeds
        if embeds:
            raise UnknownAlias(f"{alias} is for embeddings, it cannot answer", todo="Use another alias")
        return chosen


def _facts_of(chosen: "Candidate") -> Facts:
    if isinstance(chosen, AccountPool):
        return Facts(chosen.can("tools"), chosen.window)
    return Facts(chosen.tools, chosen.window)
