"""Who works on what: one process at a time holds a run, under an attempt that rises with each take-over.

Two things say that a holder lives. A lock in the database ends with its connection, so that the work of a
process which died is taken up at once. A beat says that it still does something: where it stays out for the
length of a lease, the holder sleeps, or is cut off in silence; then its connection is ended by force. Either
way the attempt rises first, so that a sleeper which wakes up is fenced (core/fencing.py).
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import platform
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psycopg
from psycopg import AsyncConnection
from psycopg.rows import DictRow

from core import clock, fencing, logs
from core.database import Database, DatabaseUnavailable
from core.fencing import Fence
from core.incarnation import pinned, recognise
from core.tasks import end
from graph import hold_queries, queries

Connection = AsyncConnection[DictRow]

_LOOK: Final = 0.3
"""Seconds between two looks at what is wanted of what is held, and at whether it is still held."""
_BEATS: Final = 5
"""Beats in a lease."""
_PATIENCE: Final = 5.0
"""Seconds that the database may take for a look or a beat, before the connection counts as lost."""
_FREED: Final = 2.0
"""Seconds that the server may take to end a connection."""

_log = logs.get(__name__)


@dataclass(eq=False)
class Hold:
    """What this process holds."""

    fence: Fence
    _connection: Connection = field(repr=False)
    lost: bool = False
    """Whether somebody else may work on it already."""
    _disturbed: asyncio.Event = field(default_factory=asyncio.Event, repr=False)

    @contextmanager
    def entered(self) -> Generator[None]:
        """Inside, effects are those of this hold, and are refused where it was lost."""
        with pinned(self._connection), fencing.entered(self.fence):
            yield

    async def disturbed(self) -> None:
        """Wait until it is lost, or a person wants something of it."""
        await self._disturbed.wait()

    def disturb(self) -> None:
        """Have its driver look."""
        self._disturbed.set()

    def lose(self) -> None:
        """Have its driver stop."""
        self.lost = True
        self._disturbed.set()


class Holds:
    """What this process holds, on one connection of its own."""

    def __init__(self, db: Database, lease: float, marks: Path | None = None) -> None:
        self._marks = marks
        self._db = db
        self._lease = lease
        self._me = _myself()
        self._held: dict[str, Hold | None] = {}
        self._connection: Connection | None = None
        self._connecting = asyncio.Lock()
        self._beating: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def hold(self, subject: str) -> AsyncGenerator[Hold | None]:
        """Hold a run or a thread, and give that; None where somebody else has it, and is alive."""
        if subject in self._held:
            yield None
            return
        self._held[subject] = None
        taking = asyncio.ensure_future(self._take(subject))
        try:
            hold = await asyncio.shield(taking)
        except asyncio.CancelledError:
            with suppress(Exception):
                await self._give_back(subject, await taking)
            raise
        except BaseException:
            del self._held[subject]
            raise
        try:
            yield hold
        finally:
            await asyncio.shield(self._give_back(subject, hold))

    def has(self, subject: str) -> bool:
        """Whether this process holds it."""
        return self._held.get(subject) is not None

    async def close(self) -> None:
        """Give the connection back; call it when nothing is held any more."""
        if self._beating:
            await end(self._beating)
        if self._connection:
            await self._connection.close()

    async def _take(self, subject: str) -> Hold | None:
        try:
            return await self._taken(await self._connected(), subject)
        except psycopg.OperationalError:
            # Nothing was held on it, or its loss is noticed by the beat; a new one may do.
            if any(self._held.values()):
                raise
            await self._disconnect()
            return await self._taken(await self._connected(), subject)

    async def _taken(self, connection: Connection, subject: str) -> Hold | None:
        key = lock_key(subject)
        found = await hold_queries.try_hold(connection, subject, key, self._lease)
        if not found["got"] and not (
            found["stale"] and await self._wrest(connection, subject, key, found["backend"])
        ):
            return None
        alive = not _is_gone(found["holder"] or "")
        try:
            row = await hold_queries.take_hold(connection, subject, self._me, alive=alive)
        except psycopg.errors.LockNotAvailable:
            # A transaction of who had it before stands still in the middle.
            await _end(self._db, await hold_queries.fence_holders(connection, subject))
            row = await hold_queries.take_hold(connection, subject, self._me, alive=alive)
        mark = None
        if self._marks is not None:
            mark = self._marks / hashlib.sha256(subject.encode()).hexdigest()[:32]
            await asyncio.to_thread(fencing.set_mark, mark, row["attempt"])
        await queries.set_attempt(connection, subject, row["attempt"])
        hold = Hold(Fence(subject, row["attempt"], row["generation"], mark), connection)
        self._held[subject] = hold
        if self._beating is None or self._beating.done():
            self._beating = asyncio.create_task(self._beat(), name="beat")
        return hold

    async def _give_back(self, subject: str, hold: Hold | None) -> None:
        self._held.pop(subject, None)
        if hold is None or hold._connection.closed:  # pyright: ignore[reportPrivateUsage]
            return
        # Who loses the connection has lost the lock with it.
        with suppress(psycopg.OperationalError):
            await hold_queries.give_back(
                hold._connection,  # pyright: ignore[reportPrivateUsage]
                subject,
                hold.fence.attempt,
                lock_key(subject),
            )

    async def _wrest(self, connection: Connection, subject: str, key: int, backend: int) -> bool:
        """Take the lock from a holder that gives no sign; whether that worked."""
        _log.warning("hold.wrested", subject=subject, after_seconds=self._lease)
        await _end(self._db, [backend])
        until = clock.monotonic() + _FREED
        while clock.monotonic() < until:
            if (await hold_queries.try_hold(connection, subject, key, self._lease))["got"]:
                return True
            await asyncio.sleep(0.05)
        return False

    async def _beat(self) -> None:
        """Say that this process lives, and look at what is wanted, for as long as it holds anything."""
        last = clock.monotonic()
        while self._held:
            await asyncio.sleep(min(_LOOK, self._lease / _BEATS))
            held = {subject: hold for subject, hold in self._held.items() if hold and not hold.lost}
            if not held or self._connection is None:
                continue
            due = clock.monotonic() - last >= self._lease / _BEATS
            try:
                async with asyncio.timeout(_PATIENCE):
                    await self._look(self._connection, held, beat=due)
            except (psycopg.Error, TimeoutError) as error:
                _log.warning("hold.lost_database", error=str(error).strip())
                for hold in held.values():
                    hold.lose()
                await self._disconnect()
            if due:
                last = clock.monotonic()

    async def _look(self, connection: Connection, held: dict[str, Hold], *, beat: bool) -> None:
        if beat:
            mine = [(subject, hold.fence.attempt) for subject, hold in held.items()]
            still = await hold_queries.beat(connection, mine)
            for subject, hold in held.items():
                if subject not in still:
                    hold.lose()
        for subject in await queries.wanted_of(connection, list(held)):
            held[subject].disturb()

    async def _connected(self) -> Connection:
        async with self._connecting:
            if self._connection is None or self._connection.closed:
                try:
                    self._connection = await self._db.connect()
                    await recognise(self._connection)
                except psycopg.OperationalError as error:
                    raise DatabaseUnavailable(f"The database does not answer: {error}") from error
            return self._connection

    async def _disconnect(self) -> None:
        gone, self._connection = self._connection, None
        if gone is not None:
            with suppress(psycopg.Error):
                await gone.close()


async def end_writers(db: Database, subject: str) -> None:
    """End the connections that stand in the middle of a write on a subject which somebody else takes up."""
    async with db.pool.connection() as connection:
        backends = await hold_queries.fence_holders(connection, subject)
    await _end(db, backends)


async def _end(db: Database, backends: list[int]) -> None:
    """End connections of others. As the login: the service's role alone may not."""
    own = await db.connect()
    try:
        await hold_queries.end_backends(own, backends)
    except psycopg.errors.InsufficientPrivilege as error:
        _log.error("hold.not_wrested", error=str(error).strip())
    finally:
        await own.close()


def lock_key(subject: str) -> int:
    """The advisory lock of who holds `subject`."""
    return int.from_bytes(hashlib.sha256(f"drive {subject}".encode()).digest()[:8], "big", signed=True)


def _started(pid: int) -> str:
    """When a process of this machine began, in ticks since it was started; empty where there is none."""
    try:
        # Its name stands in parentheses and may hold anything.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _myself() -> str:
    # A container has a process numbering of its own.
    with suppress(OSError):
        space = os.readlink("/proc/self/ns/pid")
        return f"{platform.node()} {_boot()} {space} {os.getpid()} {_started(os.getpid())}"
    return ""


def _is_gone(holder: str) -> bool:
    """Whether that process is known to be gone: it was on this machine, or nobody had it."""
    if not holder:
        return True
    *machine, pid, started = holder.split(" ")
    return machine == _myself().split(" ")[:-2] and pid.isdecimal() and _started(int(pid)) != started
