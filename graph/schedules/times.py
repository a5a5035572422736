"""When something is due: five fields of cron in a time zone, or every so many seconds."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from croniter import croniter

from core.errors import BadInput

LEAST: Final = 10.0
"""Seconds of the shortest interval: a worker looks every few seconds."""
MOST: Final = 366 * 86_400.0
"""Seconds of the longest interval."""

_UNITS: Final = {"s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}


class ScheduleInvalid(BadInput):
    """The schedule cannot be used."""


def next_time(cron: str, timezone: str | None, after: datetime) -> datetime:
    """The first moment of a cron expression beyond `after`, in UTC; fields are read in `timezone`, else UTC.

    Raises ScheduleInvalid.
    """
    try:
        zone = ZoneInfo(timezone) if timezone else UTC
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ScheduleInvalid(
            f"There is no time zone {timezone!r}",
            untouched="No schedule was changed",
            todo="Name one as in Europe/Berlin",
        ) from None
    if len(cron.split()) != 5 or not croniter.is_valid(cron):
        raise ScheduleInvalid(
            f"{cron[:80]!r} is no schedule",
            untouched="No schedule was changed",
            todo="Write five fields, as in `0 6 * * 1-5`",
        )
    try:
        return croniter(cron, after.astimezone(zone)).get_next(datetime).astimezone(UTC)
    except ValueError as error:  # the 30th of February
        raise ScheduleInvalid(f"{cron!r} never comes: {error}", untouched="No schedule was changed") from None


@dataclass(frozen=True, slots=True)
class Times:
    """When a schedule is due: either by `cron` or every so many `seconds`."""

    cron: str | None = None
    """Five fields, in `timezone`."""
    timezone: str | None = None
    """None is UTC."""
    seconds: float | None = None

    def first(self, now: datetime) -> datetime:
        """The first time of a schedule that is made now. Raises ScheduleInvalid."""
        if (self.cron is None) == (self.seconds is None) or (self.seconds and self.timezone):
            raise ScheduleInvalid(
                "A schedule has either a cron expression, with or without a time zone, or an interval",
                untouched="No schedule was changed",
            )
        if self.seconds is None:
            return self.after(now, now)
        return now + timedelta(seconds=checked(self.seconds))

    def after(self, due: datetime, now: datetime) -> datetime:
        """The first time beyond `now` of what was due at `due`; an interval keeps its beat."""
        if self.cron is not None:
            return next_time(self.cron, self.timezone, now)
        assert self.seconds is not None
        beats = math.floor((now - due).total_seconds() / self.seconds) + 1
        return due + timedelta(seconds=max(beats, 1) * self.seconds)

    def __str__(self) -> str:
        """In words: `0 6 * * 1-5 Europe/Berlin`, `every 2h`."""
        if self.cron is not None:
            return f"{self.cron} {self.timezone or 'UTC'}"
        seconds = self.seconds or 0.0
        unit = next((name for name, size in reversed(_UNITS.items()) if seconds % size == 0), "s")
        return f"every {seconds / _UNITS[unit]:g}{unit}"


def interval(text: str) -> float:
    """Seconds of `90s`, `30m`, `2h` or `1d`. Raises ScheduleInvalid."""
    read = re.fullmatch(r"(\d{1,9}) ?([smhd])", text.strip())
    if read is None:
        raise ScheduleInvalid(
            f"{text[:40]!r} is no interval",
            untouched="No schedule was changed",
            todo="Write it as 90s, 30m, 2h or 1d",
        )
    return checked(int(read[1]) * _UNITS[read[2]])


def checked(seconds: float) -> float:
    """The interval, if it can be kept. Raises ScheduleInvalid."""
    if not LEAST <= seconds <= MOST:
        raise ScheduleInvalid(
            f"An interval has {LEAST:.0f} seconds to {MOST / 86_400:.0f} days",
            untouched="No schedule was changed",
        )
    return seconds
