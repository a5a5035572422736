"""The weather over three accounts and an Ollama: which request fails how, by a seed."""

import random
from typing import Any, Literal, get_args

Kind = Literal["floor", "one stands", "outage", "chaos"]
"""floor: any account may fail at any time, Ollama answers. one stands: Ollama is gone, and one of the three
accounts answers. outage: from some request on everything fails, until `clear`. chaos: anything may fail."""
KINDS: tuple[Kind, ...] = get_args(Kind)

OF_AN_ACCOUNT = (
    "http-401", "http-403", "http-404", "http-429", "http-500", "http-503", "http-529", "no-credit", "reset",
    "cut", "cut-clean", "bad-json", "html", "error-event",
)  # fmt: skip
OF_A_CALL = ("empty", "length", "filter", "repeat", "http-400", "overflow")
"""What is no account's fault, so that no other account is asked."""
OF_OLLAMA = (
    "http-500", "http-503", "http-404", "reset", "cut", "cut-clean", "error-line", "bad-line", "empty",
    "length", "too-long", "repeat",
)  # fmt: skip
ODD = ("prose", "half-json", "think", "ignore-tools")
"""Answers of Ollama that are whole, and of another kind than was asked for."""
SILENCE = ("hang", "hang-after")
"""Each costs `silence_seconds`, so they are rare."""
_RARELY = 0.01
_REVOKED = 0.03
_RETRY_AFTER = (None, "0.01", "0", "soon")


class Sky:
    """What happens to each request of the run that is under way."""

    def __init__(self, seed: int, keys: list[str]) -> None:
        self._seed = seed
        self._keys = keys
        self.retry_after: str | None = None
        """For the next 429."""
        self.begin(0)

    def begin(self, number: int, kind: Kind | None = None) -> None:
        """The weather of another run; the same number has the same weather."""
        self._dice = random.Random(f"{self._seed}/{number}")
        self.kind: Kind = kind or KINDS[number % len(KINDS)]
        self._often = self._dice.choice((0.1, 0.3, 0.6, 1.0))
        self._stands = self._dice.choice(self._keys)
        self._from = self._dice.randint(0, 10)
        self._revoked: set[str] = set()
        self._seen = 0
        self._clear = False

    def clear(self) -> None:
        """Nothing fails any more in this run."""
        self._clear = True

    def __call__(self, who: str, body: dict[str, Any]) -> set[str]:
        """The failures of one request."""
        self._seen += 1
        self.retry_after = self._dice.choice(_RETRY_AFTER)
        if self._clear:
            return set()
        if who in self._revoked:
            return {"http-401"}
        failure = self._of_ollama() if who == "ollama" else self._of_account(who)
        return {failure} if failure else set()

    def _of_account(self, key: str) -> str:
        match self.kind:
            case "floor":
                return self._drawn(self._often, (*OF_AN_ACCOUNT, *OF_A_CALL), key)
            case "one stands":
                return "" if key == self._stands else self._drawn(self._often, OF_AN_ACCOUNT, key)
            case "outage":
                return self._drawn(float(self._seen > self._from), (*OF_AN_ACCOUNT, *OF_A_CALL), key)
            case "chaos":
                return self._drawn(0.6, (*OF_AN_ACCOUNT, *OF_A_CALL), key)

    def _of_ollama(self) -> str:
        match self.kind:
            case "floor":
                return ""
            case "one stands":
                return self._drawn(1, OF_OLLAMA)
            case "outage":
                return self._drawn(float(self._seen > self._from), OF_OLLAMA)
            case "chaos":
                return self._drawn(0.5, (*OF_OLLAMA, *ODD))

    def _drawn(self, often: float, names: tuple[str, ...], key: str = "") -> str:
        if self._dice.random() >= often:
            return ""
        chance = self._dice.random()
        if key and chance < _REVOKED:
            self._revoked.add(key)
            return "http-401"
        if chance > 1 - _RARELY:
            return self._dice.choice(SILENCE) if key else "hang"
        return self._dice.choice(names)
