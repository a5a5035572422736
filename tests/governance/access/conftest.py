"""Accounts on a real database, with a clock that tests move."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from core import clock
from core.clock import TestClock
from core.database import Database
from core.settings import Settings
from governance.access import Accounts
from governance.access.accounts import Printed

PASSWORD = "a lamp beside the river"


@pytest.fixture
def time() -> Iterator[TestClock]:
    """The clock; it stands still."""
    with clock.use(TestClock()) as stopped:
        assert isinstance(stopped, TestClock)
        yield stopped


@pytest.fixture
def accounts(database: Database, settings: Settings, time: TestClock) -> Accounts:
    """The accounts, with a printed token."""
    return Accounts.of(database, settings, printed=Printed("the-printed-token", "owner"))
