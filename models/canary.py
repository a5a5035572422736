"""One tiny question to every account, to see whether it answers and keeps to a schema."""

import asyncio
from dataclasses import dataclass

from langchain_core.messages import HumanMessage

from core import clock
from core.errors import FactoryError
from core.json import JsonObject
from models.answer import Answer
from models.routing.deployment import Deployment, Request
from models.routing.failures import failure_of
from models.service import Models

_SCHEMA: JsonObject = {
    "type": "object",
    "properties": {"answer": {"type": "string"}},
    "required": ["answer"],
    "additionalProperties": False,
}
_QUESTION = 'Which colour has the sky at noon? Answer as JSON: {"answer": "…"}'
_ANSWER = 256  # tokens
_PROMPT = 64
_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Checked:
    """What came of one question."""

    account: str
    model: str
    ok: bool
    detail: str
    seconds: float


async def check(models: Models, account: str | None = None) -> list[Checked]:
    """Ask each account's models, or one account's; and each model of Ollama where no account is named.

    An account that answers is no longer left alone. Nothing is recorded in the ledger: no run asked.
    """
    turn = asyncio.Semaphore(_AT_ONCE)
    chosen = [
        deployment
        for deployment in models.chains.fleet.deployments
        if account in (None, deployment.account.name) and "embed" not in deployment.capabilities
    ]
    checked = await asyncio.gather(*(_one(deployment, turn) for deployment in chosen))
    return [*checked, *(await _ollama(models) if account is None else [])]


async def _one(deployment: Deployment, turn: asyncio.Semaphore) -> Checked:
    formatted = "format" in deployment.capabilities
    request = Request("plan", _PROMPT, _ANSWER, _SCHEMA if formatted else None)
    said = Answer()
    async with turn:
        started = clock.monotonic()
        try:
            await deployment.endpoint.exchange([HumanMessage(_QUESTION)], request, said, None)
        except FactoryError as error:
            return Checked(deployment.account.name, deployment.model, False, error.what, _since(started))
        except Exception as error:  # noqa: BLE001 (each library has its own kinds; each is judged)
            failure = failure_of(error, clock.now())
            detail = f"{failure.verdict}: {failure.words}"
            return Checked(deployment.account.name, deployment.model, False, detail, _since(started))
        deployment.account.until = 0.0
        deployment.free()
    ok = bool(said.text.strip())
    detail = said.text if ok else "it answered nothing"
    return Checked(deployment.account.name, deployment.model, ok, detail, _since(started))


async def _ollama(models: Models) -> list[Checked]:
    checked: list[Checked] = []
    for model in models.chains.ollama.values():
        if model.embeds:
            continue
        started = clock.monotonic()
        try:
            answer, honoured = await model.ask([HumanMessage(_QUESTION)], kind="plan", schema=_SCHEMA)
        except FactoryError as error:
            checked.append(Checked("ollama", model.name, False, error.what, _since(started)))
            continue
        detail = answer.text if honoured else f"it ignores `format`; it said: {answer.text}"
        checked.append(Checked("ollama", model.name, True, detail, _since(started)))
    return checked


def _since(started: float) -> float:
    return clock.monotonic() - started
