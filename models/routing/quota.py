"""A limit of so much in a window, kept so that the server never sees more: requests or tokens of one account.

What was taken comes free one window after it has surely arrived at the server: counted from the first piece
of the answer or its end, never from the sending. So no two requests of one place in the share are closer
together, as the server sees them, than the window, however slow the way there was. All times are monotonic.
"""

import asyncio
import math
from collections import deque
from dataclasses import dataclass
from typing import Literal, Protocol

from core import clock

_MARGIN = 1.001  # of the window: two machines' clocks do not run equally fast
_LOOK_AGAIN = 0.05  # seconds, where only calls under way hold the room that is missing
SLICES = 8
"""Of an account's limit, a process takes this part at a time from what all processes share."""


@dataclass(frozen=True, slots=True)
class Share:
    """What a process may use of a quota, until when."""

    amount: int
    expires: float
    """Monotonic seconds."""
    ceiling: int
    """The most it should hold on to, while others wait for some."""
    ask_again: float = 1.0
    """Seconds after which asking for more may help."""


class Lender(Protocol):
    """Who divides a quota among processes."""

    async def more(self, quota: "Quota", want: int, least: int) -> Share:
        """The share after asking for `want` more; as much more as there is. A share below `least` is of no
        use."""
        ...

    async def aclose(self) -> None:
        """Give every share back."""
        ...


class Quota:
    """One limit, as far as this process has a share in it."""

    def __init__(
        self,
        name: str,
        counts: Literal["requests", "tokens"],
        supply: int,
        window: float,
        lender: Lender | None = None,
    ) -> None:
        self.name = name
        """The same in every process, so that they share it."""
        self.counts: Literal["requests", "tokens"] = counts
        self.supply = supply
        self.window = window
        self.peak = 0
        """The most that was in use since somebody reset it."""
        self.wish = 0
        """What was asked for last and not had, so that others give some back."""
        self._lender = lender
        whole = 0 if lender else supply
        self.share = Share(whole, 0.0 if lender else math.inf, supply)
        self._passed: deque[tuple[float, int]] = deque()
        """(when it comes free, how much) of what has arrived at the server, in order."""
        self._passed_sum = 0
        self._on_the_way = 0
        self.asking = asyncio.Lock()
        """Held while the share is changed."""

    async def take(self, amount: int) -> "Ticket | float":
        """Room for `amount`, or the seconds after which to ask again. More than all is taken as all."""
        amount = min(amount, self.supply)
        if (ticket := self._take(amount)) is not None:
            return ticket
        if self._lender is not None:
            async with self.asking:
                if (ticket := self._take(amount)) is not None:
                    return ticket
                missing = self.used() + amount - self._held()
                want = max(missing, math.ceil(self.supply / SLICES))
                want = min(want, self.supply - self._held())
                if want > 0:
                    self.share = await self._lender.more(self, want, amount)
                if (ticket := self._take(amount)) is not None:
                    return ticket
                self.wish = amount
        return self._wait(amount)

    def used(self) -> int:
        """What is under way, or arrived less than a window ago."""
        now = clock.monotonic()
        while self._passed and self._passed[0][0] <= now:
            self._passed_sum -= self._passed.popleft()[1]
        return self._on_the_way + self._passed_sum

    def covered(self) -> bool:
        """Whether this process's share still holds all that it has under way: one that expired may not."""
        return self.used() <= self._held()

    def last_free(self) -> float:
        """Seconds until nothing that was sent counts any more, if all of it arrives now."""
        if self._on_the_way:
            return self.window * _MARGIN
        return max(0.0, self._passed[-1][0] - clock.monotonic()) if self._passed else 0.0

    def _held(self) -> int:
        return self.share.amount if clock.monotonic() < self.share.expires else 0

    def _take(self, amount: int) -> "Ticket | None":
        used = self.used()
        if used + amount > min(self._held(), max(self.share.ceiling, amount)):
            return None
        self._on_the_way += amount
        self.wish = 0
        self.peak = max(self.peak, used + amount)
        return Ticket(self, amount)

    def _wait(self, amount: int) -> float:
        """Seconds until it is worth asking again."""
        now = clock.monotonic()
        room = min(self._held(), self.share.ceiling) - self.used()
        for free, some in self._passed:
            room += some
            if room >= amount:
                return max(free - now, 0.001)
        return self.share.ask_again if self._lender else _LOOK_AGAIN

    def arrived(self, amount: int, used: int) -> None:
        """`amount` was on the way and is at the server now; `used` of it counts there."""
        self._on_the_way -= amount
        if used > 0:
            self._passed.append((clock.monotonic() + self.window * _MARGIN, used))
            self._passed_sum += used


class Ticket:
    """Room that was taken for one request. Ended once: the first word counts."""

    __slots__ = ("_amount", "_open", "_quota")

    def __init__(self, quota: Quota, amount: int) -> None:
        self._quota = quota
        self._amount = amount
        self._open = True

    @property
    def covered(self) -> bool:
        """Whether the room is still this process's to use: look right before sending."""
        return self._quota.covered()

    def heard(self) -> None:
        """The first piece of the answer came: the request is at the server. Its tokens still count up."""
        if self._quota.counts == "requests":
            self.over(self._amount)

    def over(self, tokens: int) -> None:
        """The exchange is over, and took so many tokens."""
        if self._open:
            self._open = False
            self._quota.arrived(self._amount, self._amount if self._quota.counts == "requests" else tokens)

    def unused(self) -> None:
        """The request was never sent."""
        if self._open:
            self._open = False
            self._quota.arrived(self._amount, 0)
