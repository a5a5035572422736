"""Cursors: what was given out comes back as it was; anything else is refused."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.paging import CursorInvalid, Listing
from core.json import canonical

RUNS = Listing("runs", {"project": "library"}, (datetime, str))
_PRINTED = st.text(st.characters(exclude_categories=("C", "Z")), max_size=30)


def _cursor(listing: Listing, place: tuple[object, ...]) -> str:
    _, next_ = listing.page([place, place], 1, lambda one: one)
    assert next_ is not None
    return next_


@given(at=st.datetimes(timezones=st.just(UTC), min_value=datetime(2, 1, 1)), name=_PRINTED)  # noqa: DTZ001
def test_a_cursor_says_what_it_was_made_of(at: datetime, name: str) -> None:
    assert RUNS.read(_cursor(RUNS, (at, name))) == (at, name)


def test_the_last_page_has_no_cursor() -> None:
    assert RUNS.page([1, 2], 2, lambda one: (one,)) == ([1, 2], None)


@given(st.text(max_size=200))
def test_any_other_text_is_refused(text: str) -> None:
    with pytest.raises(CursorInvalid):
        RUNS.read(text)


@pytest.mark.parametrize(
    "told",
    [
        [],
        {},
        7,
        ["runs"],
        ["0" * 12, "2030-01-01T00:00:00+00:00", "run-1"],
        [RUNS._mark(), "2030-01-01T00:00:00", "run-1"],  # pyright: ignore[reportPrivateUsage]
        [RUNS._mark(), "yesterday", "run-1"],  # pyright: ignore[reportPrivateUsage]
        [RUNS._mark(), "2030-01-01T00:00:00+00:00", "run\x00"],  # pyright: ignore[reportPrivateUsage]
        [RUNS._mark(), "2030-01-01T00:00:00+00:00", 7],  # pyright: ignore[reportPrivateUsage]
        [RUNS._mark(), "2030-01-01T00:00:00+00:00"],  # pyright: ignore[reportPrivateUsage]
    ],
)
def test_a_cursor_that_somebody_wrote_is_refused(told: object) -> None:
    with pytest.raises(CursorInvalid):
        RUNS.read(urlsafe_b64encode(canonical(told).encode()).rstrip(b"=").decode())  # type: ignore[arg-type]


def test_a_cursor_of_other_filters_is_refused() -> None:
    other = Listing("runs", {"project": "other"}, (datetime, str))
    with pytest.raises(CursorInvalid):
        other.read(_cursor(RUNS, (datetime(2030, 1, 1, tzinfo=UTC), "run-1")))
