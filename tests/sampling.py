"""A few of many cases in `make test`, all of them in `make test-all`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def some(cases: Iterable[Any], *, of: int) -> list[Any]:
    """The cases, of which all but every `of`-th are slow tests."""
    return [
        case if number % of == 0 else pytest.param(case, marks=pytest.mark.slow)
        for number, case in enumerate(cases)
    ]
