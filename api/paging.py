"""Long lists in pages: a cursor names the last item that was shown, so that what is added or removed
meanwhile neither shows an item twice nor hides one."""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Annotated, Any, Final, Generic, TypeVar

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field

from core.errors import BadInput
from core.json import canonical, is_array, parse

MOST: Final = 200
"""Items of one page."""
_LONGEST: Final = 2_000
"""Characters of a cursor: those that are given out have a few hundred."""

Item = TypeVar("Item")

Limit = Annotated[int, Query(ge=1, le=MOST, description="Items of the page, at most.")]
After = Annotated[
    str | None,
    Query(description="The `next` of the page before, as it was given; the same filters belong to it."),
]


class CursorInvalid(BadInput):
    """The cursor is none that this list gave."""

    def __init__(self) -> None:
        super().__init__(
            "`after` is no cursor that this list gave for these filters",
            untouched="Nothing was listed",
            todo="Give the `next` of the page before as it is, with the same filters; or leave `after` out",
        )


class Page(BaseModel, Generic[Item]):
    """A part of a list."""

    model_config = ConfigDict(frozen=True)

    items: list[Item]
    next: Annotated[
        str | None, Field(description="What to give as `after` for the next page; null on the last one.")
    ] = None


@dataclass(frozen=True, slots=True)
class Listing:
    """One list with its filters: what a cursor belongs to."""

    name: str
    filters: Mapping[str, Any]
    shape: tuple[type, ...]
    """The types of what the list is ordered by: str, int, datetime."""

    def read(self, after: str | None) -> tuple[Any, ...] | None:
        """Where to go on; None for the beginning. Raises CursorInvalid."""
        if after is None:
            return None
        told = _parsed(after)
        if len(told) != len(self.shape) + 1 or told[0] != self._mark():
            raise CursorInvalid
        return tuple(_value(kind, given) for kind, given in zip(self.shape, told[1:], strict=True))

    def page(
        self, found: Sequence[Item], limit: int, place: Callable[[Item], tuple[Any, ...]]
    ) -> tuple[list[Item], str | None]:
        """The items of a page and the cursor after them, from `found`, which has one more where there is one.

        `place` gives what the list is ordered by.
        """
        shown = list(found[:limit])
        return shown, self._write(place(shown[-1])) if len(found) > limit else None

    def _write(self, place: tuple[Any, ...]) -> str:
        plain = [one.isoformat() if isinstance(one, datetime) else one for one in place]
        return urlsafe_b64encode(canonical([self._mark(), *plain]).encode()).rstrip(b"=").decode()

    def _mark(self) -> str:
        told = canonical([self.name, {name: str(value) for name, value in self.filters.items()}])
        return sha256(told.encode()).hexdigest()[:12]


def _parsed(text: str) -> list[Any]:
    try:
        if len(text) > _LONGEST:
            raise CursorInvalid
        told: Any = parse(urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        raise CursorInvalid from None
    if not is_array(told):
        raise CursorInvalid
    return told


def _value(kind: type, given: object) -> Any:
    """What was given out, of the type that it had. A person may have written it, so that all is looked at."""
    if kind is datetime and isinstance(given, str):
        given = _moment(given)
    plain = isinstance(given, kind) and not isinstance(given, bool)
    if (
        not plain
        or (isinstance(given, int) and abs(given) >= 1 << 62)
        or (isinstance(given, str) and not given.isprintable())
    ):
        raise CursorInvalid
    return given


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise CursorInvalid from None
    if moment.tzinfo is None or moment.year == 1:
        raise CursorInvalid
    return moment
