"""One model of one account, and how it has done so far."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from langchain_core.messages import BaseMessage

from core import clock
from core.json import JsonObject
from models.answer import Answer, Heard
from models.calls import CallKind
from models.catalogue import Capability, ModelSpec, Routing
from models.routing.failures import Failure
from models.routing.quota import Quota

_HEALTH_WEIGHT = 0.2  # of the newest call in the health and in the seconds
_LEAST_HEALTH = 0.05
_FIRST_GUESS = 1.0  # seconds that a call is thought to take, until one was made


@dataclass(frozen=True, slots=True)
class Request:
    """One request as a provider gets it."""

    kind: CallKind
    prompt: int
    """Tokens, estimated."""
    answer: int
    """The most tokens that the answer may have."""
    schema: JsonObject | None = None
    tools: tuple[JsonObject, ...] = ()
    """In OpenAI's form."""
    options: JsonObject | None = None
    """What LangChain's caller bound besides, such as `stop`."""


class Endpoint(Protocol):
    """Speaks to one model of one account over the wire. Raises whatever its library raises."""

    async def exchange(
        self, messages: list[BaseMessage], request: Request, said: Answer, heard: Heard | None
    ) -> bool | None:
        """One whole exchange, told into `said`; whether `format` was in force (None without a schema)."""
        ...


class Account:
    """What the models of one account share."""

    __slots__ = ("base_url", "local", "name", "provider", "quotas", "until", "why")

    def __init__(self, name: str, provider: str, base_url: str, *, local: bool) -> None:
        self.name = name
        self.provider = provider
        self.base_url = base_url
        self.local = local
        self.quotas: tuple[Quota, ...] = ()
        self.until = 0.0
        """Left alone until then (monotonic seconds)."""
        self.why = ""


class Deployment:
    """One model of one account. Its state is this process's own view of it."""

    def __init__(
        self, account: Account, model: str, spec: ModelSpec, endpoint: Endpoint, *, priced: bool
    ) -> None:
        self.account = account
        self.model = model
        self.spec = spec
        self.endpoint = endpoint
        self.priced = priced
        self.quotas: tuple[Quota, ...] = ()
        self.input_rate = float(spec.input_price) / 1e6
        self.output_rate = float(spec.output_price) / 1e6
        self.health = 1.0
        """1 for what has always answered, towards 0 for what has not."""
        self.seconds = _FIRST_GUESS
        self.in_flight = 0
        self.failures = 0
        """In a row."""
        self.probing = False
        """Whether the call under way decides if the breaker closes."""
        self.until = 0.0
        self.why = ""
        self.calls = 0
        self.on_free: list[Callable[[Deployment], None]] = []
        """Told when it may be asked sooner than was thought: the pools that have put it aside."""

    @property
    def name(self) -> str:
        """`account/model`."""
        return f"{self.account.name}/{self.model}"

    @property
    def capabilities(self) -> frozenset[Capability]:
        return self.spec.capabilities

    @property
    def window(self) -> int:
        """Tokens of prompt and answer together."""
        return self.spec.num_ctx

    def free_at(self) -> float:
        """From when on it may be asked (monotonic seconds); in the past for one that may be asked now."""
        return max(self.until, self.account.until)

    def reason(self) -> str:
        """Why it is left alone."""
        return self.why if self.until >= self.account.until else self.account.why

    def score(self, prompt: int, answer: int, second_price: float) -> float:
        """What a call is expected to cost, time included, in USD; the least is best."""
        money = prompt * self.input_rate + answer * self.output_rate
        waiting = self.seconds * (1 + self.in_flight) * second_price
        return (money + waiting + 1e-12 * (1 + self.in_flight)) / self.health

    def started(self, rules: Routing, probe_seconds: float) -> None:
        """A call goes out. After a row of failures it is a probe: nobody else calls until it is back."""
        self.in_flight += 1
        self.calls += 1
        if self.failures >= rules.open_after:
            self.probing = True
            self.park(clock.monotonic() + probe_seconds, "half open: a probe is on its way")

    def left(self) -> None:
        """A call was given up without an outcome."""
        self.in_flight -= 1
        self._end_probe()

    def _end_probe(self) -> None:
        if self.probing:
            self.probing = False
            self.free()

    def succeeded(self, seconds: float) -> None:
        """A whole answer came."""
        self.in_flight -= 1
        self.probing = False
        self.failures = 0
        if self.until:
            self.free()
        self.health += (1 - self.health) * _HEALTH_WEIGHT
        self.seconds += (seconds - self.seconds) * _HEALTH_WEIGHT

    def failed(self, failure: Failure, rules: Routing) -> None:
        """Leave it, or its account, alone for as long as the failure deserves."""
        self.in_flight -= 1
        self._end_probe()
        now = clock.monotonic()
        asked_for = failure.retry_after
        after = None if asked_for is None else min(asked_for, rules.longest_retry_after)
        match failure.verdict:
            case "auth" | "spent":
                self.account.until = now + max(rules.refused_seconds, after or 0.0)
                self.account.why = f"{_WORDS[failure.verdict]}: {failure.words}"
            case "missing":
                self.park(now + rules.refused_seconds, f"no such model: {failure.words}")
            case "overflow" | "refused":
                pass  # says something about the request, not about the account
            case "busy":
                self.failures += 1
                wait = self._backoff(rules) if after is None else after
                self.account.until = max(self.account.until, now + wait)
                self.account.why = f"HTTP 429, for {wait:.3g} s"
                self.until, self.why = self.account.until, self.account.why
            case "broken" | "unreachable":
                self.failures += 1
                self.health = max(_LEAST_HEALTH, self.health * (1 - _HEALTH_WEIGHT))
                wait = self._backoff(rules) if after is None else after
                state = "breaker open" if self.failures >= rules.open_after else "failed a moment ago"
                # A call that was under way beside it does not cut short what the server has asked for.
                if now + wait > self.until:
                    self.park(now + wait, f"{state} ({self.failures} in a row): {failure.words}")

    def free(self) -> None:
        """It may be asked again now."""
        self.until = 0.0
        self.why = ""
        for tell in self.on_free:
            tell(self)

    def park(self, until: float, why: str) -> None:
        """Leave it alone until then."""
        self.until = until
        self.why = why

    def _backoff(self, rules: Routing) -> float:
        return min(rules.longest_open_seconds, rules.first_open_seconds * 2.0 ** min(self.failures - 1, 30))


_WORDS = {"auth": "key refused", "spent": "no credit left"}
