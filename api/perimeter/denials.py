"""Every request that was turned away stands in the audit: the service's own chain, the event `access.denied`.

Somebody who is turned away a thousand times a second must not fill the disk. So a bounded number of denials
have an event of their own; the others of that minute are counted, by status and reason, and stand in one.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

from api.perimeter.limits import Limit
from core import logs
from core.errors import FactoryError
from core.events import SERVICE, EventLog
from core.json import JsonObject

DENIED: Final = frozenset(
    {
        HTTPStatus.UNAUTHORIZED,
        HTTPStatus.FORBIDDEN,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.MISDIRECTED_REQUEST,
        HTTPStatus.TOO_MANY_REQUESTS,
    }
)
"""Statuses that say: turned away."""

PER_MINUTE: Final = 30
BURST: Final = 60
"""Denials that have an event of their own."""
SUMMED_EVERY: Final = 60.0
_REASONS: Final = 50  # different ones in a sum
_SHOWN: Final = 5  # addresses that a sum names

logger = logs.get(__name__)


@dataclass
class Denials:
    """Notes denials at once and writes them soon after; `keep` has to run."""

    events: EventLog
    _own: Limit = field(default_factory=lambda: Limit(PER_MINUTE, BURST))
    _single: deque[JsonObject] = field(default_factory=lambda: deque[JsonObject](maxlen=BURST * 2))
    _counted: Counter[str] = field(default_factory=Counter[str])
    _addresses: Counter[str] = field(default_factory=Counter[str])
    _wake: asyncio.Event = field(default_factory=asyncio.Event)

    def note(self, denial: JsonObject) -> None:
        """Remember that a request was turned away. Never waits."""
        if self._own.take("") == 0:
            self._single.append(denial)
            self._wake.set()
            return
        reason = f"{denial.get('status')} {denial.get('code')}"
        self._counted[reason if reason in self._counted or len(self._counted) < _REASONS else "others"] += 1
        address = str(denial.get("address"))
        if address in self._addresses or len(self._addresses) < 1_000:
            self._addresses[address] += 1

    async def keep(self) -> None:
        """Write until cancelled, then what is left."""
        try:
            while True:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), SUMMED_EVERY)
                    self._wake.clear()
                    await self._write_single()
                    continue
                await self.sum_up()
        finally:
            await self._write_single()
            await self.sum_up()

    async def sum_up(self) -> None:
        """Write one event for all denials that were only counted."""
        if not self._counted:
            return
        counted, addresses = self._counted, self._addresses
        self._counted, self._addresses = Counter(), Counter()
        await self._write(
            {
                "count": counted.total(),
                "reasons": dict(counted),
                "addresses": [address for address, _ in addresses.most_common(_SHOWN)],
            }
        )

    async def _write_single(self) -> None:
        while self._single:
            await self._write(self._single.popleft())

    async def _write(self, payload: JsonObject) -> None:
        try:
            await self.events.append(SERVICE, "access.denied", payload)
        except FactoryError as error:  # the database is away: the log has it at least
            logger.warning("denied request not in the audit", error=str(error), denial=payload)
