"""How fast somebody may ask: token buckets, a bounded number of them."""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

from core import clock
from core.errors import FactoryError

MOST: Final = 10_000
"""Buckets of one limit that are kept; the ones that were longest not asked for make room."""


class TooManyRequests(FactoryError):
    """Too many requests."""

    http_status = 429

    def __init__(self, seconds: float, what: str = "") -> None:
        self.seconds = max(1, math.ceil(seconds))
        super().__init__(what, untouched="Nothing was done", todo=f"Try again in {self.seconds} s")

    def http_headers(self) -> dict[str, str]:
        """When to come again."""
        return {"Retry-After": str(self.seconds)}


@dataclass
class Limit:
    """A bucket for each key: `burst` at once, and `per_minute` in the long run."""

    per_minute: float
    burst: float
    _buckets: OrderedDict[str, tuple[float, float]] = field(
        default_factory=OrderedDict[str, tuple[float, float]]
    )

    def take(self, key: str, amount: float = 1.0) -> float:
        """Take from a key's bucket: 0, or the seconds until there is enough, and nothing was taken."""
        left = self._left(key)
        if left < amount:
            return (amount - left) * 60 / self.per_minute
        self._keep(key, left - amount)
        return 0.0

    def wait(self, key: str) -> float:
        """The seconds until there is one to take; 0 where there is."""
        left = self._left(key)
        return 0.0 if left >= 1 else (1 - left) * 60 / self.per_minute

    def __len__(self) -> int:
        return len(self._buckets)

    def _left(self, key: str) -> float:
        left, at = self._buckets.get(key, (self.burst, clock.monotonic()))
        return min(self.burst, left + (clock.monotonic() - at) * self.per_minute / 60)

    def _keep(self, key: str, left: float) -> None:
        self._buckets[key] = (left, clock.monotonic())
        self._buckets.move_to_end(key)
        while len(self._buckets) > MOST:
            self._buckets.popitem(last=False)


@dataclass
class Limits:
    """All limits of one server process."""

    per_minute: int
    """Requests of one caller in the long run; 0 for no limit on callers and addresses."""
    callers: Limit = field(init=False)
    addresses: Limit = field(init=False)
    failures: Limit = field(default_factory=lambda: Limit(per_minute=6, burst=10))
    """Failed sign-ins of one address."""
    names: Limit = field(default_factory=lambda: Limit(per_minute=1, burst=30))
    """Failed sign-ins with one name, from wherever. Looser: it must not be a way to lock somebody out."""

    def __post_init__(self) -> None:
        self.callers = Limit(self.per_minute, max(self.per_minute / 4, 1))
        # Several people may share an address.
        self.addresses = Limit(4 * self.per_minute, max(self.per_minute, 1))

    def of_address(self, address: str) -> None:
        """Count a request of an address. Raises TooManyRequests."""
        if self.per_minute and (seconds := self.addresses.take(address)):
            raise TooManyRequests(
                seconds, f"More than {4 * self.per_minute} requests a minute from {address}"
            )

    def of_caller(self, caller: str) -> None:
        """Count a request of a caller. Raises TooManyRequests."""
        if self.per_minute and (seconds := self.callers.take(caller)):
            raise TooManyRequests(seconds, f"More than {self.per_minute} requests a minute of {caller}")

    def before_sign_in(self, address: str, name: str) -> None:
        """Raises TooManyRequests where too many failed before."""
        if seconds := max(self.failures.wait(address), self.names.wait(name)):
            raise TooManyRequests(seconds, "Too many sign-ins have failed")

    def sign_in_failed(self, address: str, name: str) -> None:
        """Count a failed sign-in."""
        self.failures.take(address)
        self.names.take(name)
