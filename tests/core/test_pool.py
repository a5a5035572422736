"""Which of its connections a pool hands out."""

from contextlib import AsyncExitStack

from core import fencing
from core.database import Database
from core.fencing import Fence


async def backend(database: Database) -> tuple[int, str]:
    """The server's process behind the connection that comes next, and under what it writes."""
    async with database.pool.connection() as conn:
        cursor = await conn.execute(
            "SELECT pg_backend_pid() AS pid, coalesce(current_setting('factory.fence', true), '') AS fence"
        )
        row = await cursor.fetchone()
    assert row is not None
    return row["pid"], row["fence"]


async def test_a_connection_goes_back_to_what_it_was_told_to_write_under(database: Database) -> None:
    async with AsyncExitStack() as stack:  # at once, so that there are several of them
        for _ in range(3):
            await stack.enter_async_context(database.pool.connection())
    with fencing.entered(Fence("run-1", 1)):
        first = await backend(database)
    with fencing.entered(Fence("run-2", 1)):
        second = await backend(database)
    outside = await backend(database)
    assert [fence for _, fence in (first, second, outside)] == ["1 run-1", "1 run-2", ""]
    assert len({pid for pid, _ in (first, second, outside)}) == 3
    for _ in range(4):
        assert await backend(database) == outside
        with fencing.entered(Fence("run-2", 1)):
            assert await backend(database) == second
        with fencing.entered(Fence("run-1", 1)):
            assert await backend(database) == first


async def test_a_later_attempt_is_told_whatever_connection_it_gets(database: Database) -> None:
    for attempt in range(1, 12):
        with fencing.entered(Fence("run-1", attempt)):
            assert (await backend(database))[1] == f"{attempt} run-1"
    assert (await backend(database))[1] == ""
