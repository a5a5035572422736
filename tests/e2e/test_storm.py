"""Three accounts and an Ollama in all weathers: every run ends in the right state, and the ledger is exact.

What counts: a whole answer costs what its server says. Of one that broke off no server tells the count; it
costs its whole prompt and what was heard of it, both estimated (`Answer.spent`), so that a budget is rather
too careful. An exchange in which nothing was heard costs nothing.
"""

from __future__ import annotations

import json
import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from graph.driver import Outcome
from graph.runner import Factory
from tests.doubles import ollama_server as ollama_double
from tests.doubles import openai_server as openai_double
from tests.doubles.exchange import Exchange
from tests.doubles.ollama_server import OllamaServer
from tests.doubles.openai_server import OpenAIServer
from tests.doubles.sky import KINDS, Kind, Sky
from tests.e2e.conftest import (
    IMPATIENT,
    OpenFactory,
    assert_nothing_lost,
    escalations,
    guide,
    on_branch,
    released,
    stages,
    to_the_end,
)
from tests.models.conftest import toml
from tests.packs.brain import Chat, Rule, brain, read, write

SEED = 4
KEYS = {name: f"sk-storm-0123456789abcdef-{name}" for name in ("a", "b", "c")}
LOCAL = "qwen3-coder:30b"
PRICES = {"gpt-double": (1000, 2000), "gpt-double-mini": (10, 20), LOCAL: (1, 2)}
"""USD per million tokens of prompts and answers."""
CHAIN = ["pool:cloud", LOCAL]
BYTES_PER_TOKEN = 3.5
PER_MESSAGE = 8
MOST_GUIDANCE = 3


def page(path: str, text: str) -> Rule:
    return lambda chat: write(path, text) if f"wrote {path}" not in chat.text else "Done."


def plan(_: Chat) -> str:
    return json.dumps({"reasoning": "both", "title": "Storm", "skip": []})


PAGES = {"docs/text.md": "# Text\n\nAs if nothing had happened.", "checks/verdict.md": "# Verdict\n\nGood."}
CALM = brain(
    {
        "writer/work": page("docs/text.md", PAGES["docs/text.md"]),
        "checker/work": page("checks/verdict.md", PAGES["checks/verdict.md"]),
        "/plan": plan,
    }
)


def models_file(folder: Path, server: OpenAIServer) -> Path:
    spec = {"num_ctx": 65_536, "num_predict": 2048, "capabilities": ["tools", "format"]}
    account = {"provider": "openai", "base_url": server.url, "models": ["gpt-double"]}
    tables: dict[str, dict[str, Any]] = {
        # As many tries as there are by default: one for each account, and one over.
        "retry": {**IMPATIENT["retry"], "attempts": 4},
        "limits": {**IMPATIENT["limits"], "silence_seconds": 3, "patience_seconds": 0.3},
        "routing": {
            "first_open_seconds": 0.002, "longest_open_seconds": 0.02, "refused_seconds": 0.05,
            "longest_retry_after": 0.05,
        },
        "models": {
            name: {**spec, "input_price": prices[0], "output_price": prices[1]}
            for name, prices in PRICES.items()
        },
        "accounts": {name: {**account, "key_env": f"STORM_{name.upper()}"} for name in KEYS},
        "pools": {"cloud": {"accounts": ["*"]}},
        "aliases": {f"factory/{name}": CHAIN for name in ("architect", "coder", "fast", "cheap")},
    }  # fmt: skip
    # Without tools of its own: the other way through an operative's loop.
    tables["models"][LOCAL]["capabilities"] = ["format"]
    tables["accounts"]["a"]["models"] = ["gpt-double-mini"]
    file = folder / "storm.toml"
    file.write_text(toml(tables), encoding="utf-8")
    return file


def remembers(exchange: Exchange) -> bool:
    """Whether a model was asked what is worth keeping; a failure of that stops nobody."""
    return "call: remember" in str(exchange.body)


@dataclass
class Storm:
    """A factory between the servers, and their weather."""

    factory: Factory
    server: OpenAIServer
    ollama: OllamaServer
    sky: Sky

    async def run(self, number: int, kind: Kind | None = None) -> None:
        """One run from its requirement to its release, with a person where one is needed."""
        self.sky.begin(number, kind)
        self.server.exchanges.clear()
        self.ollama.exchanges.clear()
        run_id = await self.factory.submit(
            f"Storm {number}: check and publish a text", approve_all=True, project=f"storm-{number}"
        )
        outcome = await to_the_end(self.factory, run_id)
        asked = escalations(outcome)
        assert not (asked and self.sky.kind in ("floor", "one stands")), (
            f"somebody could have answered: {[approval.question for approval in asked]}"
        )
        if asked:
            await self._stands_in_good_order(run_id, outcome)
            await self._books_agree(run_id)
            outcome = await self._sent_on(run_id, outcome)
        assert outcome.status == "completed", (outcome.status, [one.question for one in outcome.waiting])
        await self._nothing_by_default(run_id)
        files = await released(self.factory, run_id)
        assert {path: files[path].rstrip() for path in PAGES} == PAGES
        await self._books_agree(run_id)

    async def _sent_on(self, run_id: str, outcome: Outcome) -> Outcome:
        for _ in range(MOST_GUIDANCE):
            if self.sky.kind == "outage" or _ == MOST_GUIDANCE - 1:
                self.sky.clear()
            await guide(self.factory, outcome)
            outcome = await to_the_end(self.factory, run_id)
            if not escalations(outcome):
                break
        return outcome

    async def _stands_in_good_order(self, run_id: str, outcome: Outcome) -> None:
        """A person is asked about one stage; nothing of it is merged, and what was said last is kept."""
        assert outcome.status == "awaiting_input"
        (asked,) = escalations(outcome)
        assert asked.team
        assert "respond" in asked.allowed
        assert (await stages(self.factory, run_id))[asked.team].verdict == "blocked"
        merged = await self.factory.events.read(run_id, kinds=["stage.merged", "stage.ended"])
        assert asked.team not in [event.team for event in merged]
        path = {"writer": "docs/text.md", "checker": "checks/verdict.md"}[asked.team]
        assert path not in await on_branch(self.factory, run_id)
        assert not await self.factory.events.read(run_id, kinds=["release.done"])
        if self.sky.kind == "outage":
            failed = await self.factory.events.read(run_id, kinds=["model.failed", "report.invalid"])
            assert failed
            assert "BLOCKED" in [
                event.payload["status"]
                for event in await self.factory.events.read(run_id, kinds=["report.received"])
            ] or any(event.payload.get("call") == "work" for event in failed)
            kept = [str(event.payload["raw"]) for event in failed if event.payload["raw"]]
            said = [one.said for one in self._exchanges() if one.failing and one.said and not remembers(one)]
            assert bool(kept) == bool(said), "what a model had said is kept"
            assert all(any(text.startswith(raw[:1000]) for text in said) for raw in kept)
        await assert_nothing_lost(self.factory, run_id)

    async def _nothing_by_default(self, run_id: str) -> None:
        """Each stage that passed did so on a report that a server gave as a whole."""
        reports = await self.factory.events.read(run_id, kinds=["report.received"])
        complete = [event for event in reports if event.payload["status"] == "COMPLETE"]
        assert {event.team for event in complete} == {"writer", "checker"}
        answered = [one for one in self._exchanges() if one.whole and _is_report(one)]
        assert len(answered) >= len(complete)

    def _exchanges(self) -> Sequence[Exchange]:
        return [*self.server.exchanges, *self.ollama.exchanges]

    async def _books_agree(self, run_id: str) -> None:
        """The ledger's sums are those of the servers, to the token and to the cent."""
        counted = [cost_of(exchange) for exchange in self._exchanges()]
        async with self.factory.db.pool.connection() as connection:
            cursor = await connection.execute(
                "SELECT key, provider, model, status, input_tokens, output_tokens, cost_usd, error "
                "FROM model_calls WHERE run_id = %s ORDER BY at",
                (run_id,),
            )
            rows = await cursor.fetchall()
        sums = [sum(row[name] for row in rows) for name in ("input_tokens", "output_tokens", "cost_usd")]
        expected = [sum(column) for column in zip(*counted, strict=True)]
        assert sums == expected, "\n".join(
            [
                *(str(dict(row)) for row in rows),
                *(f"{e.who} {e.failing} {e.whole} {len(e.said)} {cost_of(e)}" for e in self._exchanges()),
            ]
        )


def cost_of(exchange: Exchange) -> tuple[int, int, Decimal]:
    """Tokens of prompt and answer, and USD, that an exchange must cost."""
    if exchange.whole:
        inputs, outputs = exchange.input_tokens, exchange.output_tokens
    elif exchange.said:
        inputs, outputs = _prompt(exchange.body), math.ceil(len(_heard(exchange).encode()) / BYTES_PER_TOKEN)
    else:
        inputs = outputs = 0
    prices = PRICES[exchange.body["model"]]
    return inputs, outputs, Decimal(inputs * prices[0] + outputs * prices[1]) / 1_000_000


def _prompt(body: dict[str, Any]) -> int:
    size = 0
    for message in body["messages"]:
        size += len((message.get("content") or "").encode())
        for call in message.get("tool_calls") or ():
            arguments = call["function"]["arguments"]
            value = json.loads(arguments) if isinstance(arguments, str) else arguments
            size += len(json.dumps(value).encode())
    size += sum(len(json.dumps(tool).encode()) for tool in body.get("tools") or ())
    return math.ceil(size / BYTES_PER_TOKEN) + PER_MESSAGE * len(body["messages"])


def _heard(exchange: Exchange) -> str:
    """Of an answer without end only so much is heard as could be an answer."""
    if "repeat" not in exchange.failing:
        return exchange.said
    ours = exchange.who != "ollama"
    piece = openai_double.ENDLESS if ours else ollama_double.ENDLESS
    longest = 24 * (exchange.body["max_tokens"] if ours else exchange.body["options"]["num_predict"])
    return piece * (longest // len(piece) + 1)


def _is_report(exchange: Exchange) -> bool:
    # By what was asked: a model whose canary failed is sent no schema.
    return read(exchange.body["messages"]).call == "report"


@asynccontextmanager
async def storm(
    open_factory: OpenFactory, ollama: OllamaServer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Storm]:
    for name, key in KEYS.items():
        monkeypatch.setenv(f"STORM_{name.upper()}", key)
    sky = Sky(SEED, list(KEYS.values()))
    with OpenAIServer(brain=CALM, keys=set(KEYS.values())) as server:

        def weather(key: str, body: dict[str, Any]) -> set[str]:
            failing = sky(key, body)
            server.retry_after = sky.retry_after
            return failing

        server.weather = weather
        ollama.weather, ollama.brain = sky, CALM
        async with open_factory(pack="tiny", models_file=models_file(folder, server)) as factory:
            yield Storm(factory, server, ollama, sky)


def test_a_seed_is_a_weather() -> None:
    def told() -> list[set[str]]:
        sky = Sky(SEED, list(KEYS.values()))
        sky.begin(7)
        return [sky(who, {}) for who in (*KEYS.values(), "ollama") * 5]

    assert told() == told()


async def test_runs_in_all_weathers_end_in_the_right_state(
    open_factory: OpenFactory, ollama_server: OllamaServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with storm(open_factory, ollama_server, tmp_path, monkeypatch) as standing:
        for number in range(len(KINDS)):
            await standing.run(number)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, 500, 20))
async def test_five_hundred_runs_in_all_weathers_end_in_the_right_state(
    first: int,
    open_factory: OpenFactory,
    ollama_server: OllamaServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with storm(open_factory, ollama_server, tmp_path, monkeypatch) as standing:
        for number in range(first, first + 20):
            await standing.run(number)
