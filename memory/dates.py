"""The dates that a query names, and whether a memory is of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

_MONTHS: Final = ("january", "february", "march", "april", "may", "june", "july", "august", "september")
_ALL: Final = (*_MONTHS, "october", "november", "december")
_MONTH: Final = "|".join(sorted({*_ALL, *(name[:3] for name in _ALL), "sept"}, key=len, reverse=True))
_DAY: Final = r"(?P<day>\d{1,2})(?:st|nd|rd|th)?"
_YEAR: Final = r"(?P<year>(?:19|20)\d\d)"
_ISO: Final = re.compile(r"\b(?P<year>(?:19|20)\d\d)-(?P<month>\d\d)(?:-(?P<day>\d\d))?\b")
_WORDS: Final = (
    re.compile(rf"\b{_DAY}\s+(?:of\s+)?(?P<month>{_MONTH})\b\.?(?:,?\s+{_YEAR})?", re.IGNORECASE),
    re.compile(rf"\b(?P<month>{_MONTH})\.?\s+{_DAY}\b(?:,?\s+{_YEAR})?", re.IGNORECASE),
    re.compile(rf"\b(?P<month>{_MONTH})\.?(?:\s+of)?,?\s+{_YEAR}\b", re.IGNORECASE),
    # A month alone: "may" and "march" are words too, and abbreviations are never sure.
    re.compile(rf"\b(?:in|during|since|until|last|this)\s+(?P<month>{'|'.join(_ALL)})\b", re.IGNORECASE),
    re.compile(rf"\b(?:in|during|since|until)\s+{_YEAR}\b", re.IGNORECASE),
)
_AROUND: Final = 3
"""Days: what happened is often told some days later."""


@dataclass(frozen=True, slots=True)
class Named:
    """A date as far as it was named."""

    year: int | None
    month: int | None
    day: int | None

    def match(self, at: datetime) -> float:
        """0 to 1: half for the month, a quarter for the year, a quarter for the day or one near it."""
        if self.month is None:
            return 0.25 * (at.year == self.year)
        if at.month != self.month:
            return self._near(at)
        return 0.5 + 0.25 * (at.year == self.year) + self._near(at)

    def _near(self, at: datetime) -> float:
        """A quarter where the day is near, across the ends of months too."""
        if self.day is None or self.month is None:
            return 0.0
        try:
            named = date(self.year or at.year, self.month, self.day)
        except ValueError:  # 31 June
            return 0.0
        return 0.25 * (abs((at.date() - named).days) <= _AROUND)


def named(text: str) -> list[Named]:
    """The dates in a text: ISO dates, and English ones with the month as a word."""
    text = text[:10_000]
    found: list[Named] = []
    for pattern in (_ISO, *_WORDS):
        text = pattern.sub(lambda match: _keep(match, found), text)
    return found


def _keep(match: re.Match[str], found: list[Named]) -> str:
    groups = match.groupdict()
    month = groups.get("month")
    number = None if month is None else int(month) if month.isdigit() else _number(month)
    day = groups.get("day")
    year = groups.get("year")
    if number is not None and not 1 <= number <= 12:
        return match[0]
    found.append(Named(None if year is None else int(year), number, None if day is None else int(day)))
    return " "


def _number(month: str) -> int:
    return next(number for number, name in enumerate(_ALL, 1) if name.startswith(month.lower()[:3]))


def match(dates: Sequence[Named], at: datetime) -> float:
    """How well the best of the dates fits a moment."""
    return max((one.match(at) for one in dates), default=0.0)
