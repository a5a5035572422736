"""Time and ids come from here, so that tests own them."""

import secrets
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Protocol

# Crockford's base 32, lower case: sorts like the number it stands for.
_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"


class Clock(Protocol):
    """A source of time and ids."""

    def now(self) -> datetime:
        """The moment, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds since some fixed moment; never runs backwards."""
        ...

    def new_id(self, prefix: str) -> str:
        """An id that was never given out before; later ids sort after earlier ones."""
        ...


def _base32(number: int, length: int) -> str:
    text = ""
    for _ in range(length):
        number, digit = divmod(number, 32)
        text = _DIGITS[digit] + text
    return text


class SystemClock:
    """The machine's time; ids are ULIDs (48 bits of milliseconds, 80 of chance), monotonic in a process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    def new_id(self, prefix: str) -> str:
        fresh = (time.time_ns() // 1_000_000) << 80 | secrets.randbits(80)
        with self._lock:
            # Two ids of one millisecond, or a clock that was set back: count on from the last one.
            self._last = fresh if fresh > self._last else self._last + 1
            number = self._last
        return f"{prefix}-{_base32(number, 26)}"


class TestClock:
    """A clock that stands still until it is moved, and counts ids from 1."""

    __test__ = False  # not a test class, whatever pytest thinks of its name

    def __init__(self, start: datetime = datetime(2030, 1, 1, tzinfo=UTC)) -> None:
        self._now = start
        self._elapsed = 0.0
        self._ids = 0

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._elapsed

    def new_id(self, prefix: str) -> str:
        self._ids += 1
        return f"{prefix}-{self._ids:06d}"

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass."""
        self._now += timedelta(seconds=seconds)
        self._elapsed += seconds


_clock: Clock = SystemClock()


def now() -> datetime:
    """The moment, aware, in UTC."""
    return _clock.now()


def monotonic() -> float:
    """Seconds since some fixed moment, for durations."""
    return _clock.monotonic()


def new_id(prefix: str) -> str:
    """A new id such as `run-01kabc…`: lower case, safe in paths and branch names, sorted by time."""
    return _clock.new_id(prefix)


def ahead() -> timedelta:
    """How far a test has moved the time; nothing in life."""
    return timedelta() if type(_clock) is SystemClock else _clock.now() - datetime.now(UTC)


@contextmanager
def use(clock: Clock) -> Generator[Clock]:
    """Take time and ids from `clock` inside the block, in every thread and task of this process."""
    global _clock
    before, _clock = _clock, clock
    try:
        yield clock
    finally:
        _clock = before
