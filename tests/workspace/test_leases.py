"""Leases tell who works where, expire by themselves, and keep nobody out."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from core import clock
from core.database import Database
from workspace.leases import LASTS, Lease, Leases

Time = clock.TestClock
SECOND = timedelta(seconds=1)


@pytest.fixture
def at() -> Iterator[Time]:
    """Moves the time; it is the database's, and goes on by itself."""
    with clock.use(Time(datetime.now(UTC))) as moved:
        assert isinstance(moved, Time)
        yield moved


def near(one: datetime | None, other: datetime) -> bool:
    """Whether two moments are the same but for the time that the test itself takes."""
    return one is not None and abs(one - other) < 60 * SECOND


def lease(run: str, stage: str = "writer.1", project: str = "shop") -> Lease:
    return Lease(run, stage, project, stage.partition(".")[0], ("src/**",))


def names(leases: list[Lease]) -> list[tuple[str, str]]:
    return [(one.run_id, one.stage) for one in leases]


async def test_two_runs_hold_the_same_paths_and_each_is_listed_until_it_ends(
    database: Database, at: Time
) -> None:
    leases = Leases(database)
    await leases.renew(lease("run-1"))
    at.advance(1)
    await leases.renew(lease("run-2"))
    await leases.renew(lease("run-3", project="other"))
    assert names(await leases.live("shop")) == [("run-1", "writer.1"), ("run-2", "writer.1")]
    for _ in range(2):
        await leases.give_back("run-1", "writer.1")
    assert names(await leases.live("shop")) == [("run-2", "writer.1")]


async def test_a_lease_that_nobody_renews_is_gone_after_its_time_and_its_row_too(
    database: Database, at: Time
) -> None:
    leases = Leases(database)
    await leases.renew(lease("run-1"))
    await leases.renew(lease("run-2"))
    at.advance(LASTS.total_seconds() / 2)
    await leases.renew(lease("run-1"))
    at.advance(LASTS.total_seconds() / 2 + 1)
    assert names(await leases.live("shop")) == [("run-1", "writer.1")]
    await leases.renew(lease("run-1"))
    async with database.pool.connection() as conn:
        rows = await (await conn.execute("SELECT run_id FROM leases")).fetchall()
    assert [row["run_id"] for row in rows] == ["run-1"]


async def test_a_lease_that_expired_begins_anew_with_its_next_renewal(database: Database, at: Time) -> None:
    leases, one = Leases(database), lease("run-1")
    await leases.renew(one)
    await leases.wrote(one, "src/a.py")
    at.advance(2 * LASTS.total_seconds())
    await leases.renew(one)
    (held,) = await leases.live("shop")
    assert held.files == ()
    assert near(held.taken_at, at.now())
    assert near(held.expires_at, at.now() + LASTS)


async def test_holding_a_lease_renews_it_long_before_it_ends_and_after_it_was_given_back(
    database: Database, at: Time
) -> None:
    leases, one = Leases(database), lease("run-1")
    await leases.hold(one)
    (first,) = await leases.live("shop")
    at.advance(LASTS.total_seconds() / 16)
    await leases.hold(one)
    assert await leases.live("shop") == [first], "a moment later there is nothing to do"
    at.advance(LASTS.total_seconds() / 16)
    await leases.hold(one)
    (later,) = await leases.live("shop")
    assert first.expires_at is not None
    assert later.expires_at is not None
    assert later.expires_at > first.expires_at
    await leases.give_back("run-1", "writer.1")
    await leases.hold(one)
    assert names(await leases.live("shop")) == [("run-1", "writer.1")]


async def test_who_writes_a_file_learns_who_else_has_written_it(database: Database) -> None:
    leases = Leases(database)
    one, two, other = lease("run-1"), lease("run-2"), lease("run-1", "painter.1")
    for each in (one, two, other):
        await leases.renew(each)
    assert await leases.wrote(one, "src/a.py") == []
    assert await leases.wrote(two, "src/b.py") == []
    for _ in range(2):
        assert names(await leases.wrote(two, "src/a.py")) == [("run-1", "writer.1")]
    told = await leases.wrote(other, "src/a.py")
    assert sorted(names(told)) == [("run-1", "writer.1"), ("run-2", "writer.1")]
    assert told[0].files == ("src/a.py",)
