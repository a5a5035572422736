"""Follows the event log for any number of readers in a process: one connection, one reading of each batch."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Generator, Iterable, Sequence
from contextlib import aclosing, contextmanager
from typing import Final

import psycopg

from core import feed, logs, queries
from core.database import Database, DatabaseUnavailable
from core.errors import BadInput, FactoryError
from core.events import Event
from core.feed import Connection, Noted, Slice, Wanted
from core.tasks import end

WINDOW: Final = 0.05
"""Seconds between two readings of the table while events keep coming; the first one is read at once."""
MOST_BYTES: Final = 4_000_000
"""Bytes of records that may wait for one reader before it is cut."""
_LOOK_AGAIN: Final = 60.0  # seconds; it looks at all runs even where no notification came
_BACKOFF: Final = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0)  # seconds between tries to reconnect; the last one repeats
_REPLAYS: Final = 4  # readings of the past side by side: they share a pool with those who write

logger = logs.get(__name__)


class ReaderTooSlow(FactoryError):
    """The reader of events did not keep up, and was cut."""

    http_status = 503


class PositionUnknown(BadInput):
    """There is no such position in the log."""

    http_status = 409


class Hub:
    """Hands out the events of a database as they are written. It listens while somebody follows.

    A reader gets every event that it wants after its position, in order, once: first from the table, then as
    they come, also across a lost connection and a restarted server. A reader that does not take them is cut,
    never waited for; it comes back with the position of the last one that it took.
    """

    def __init__(self, db: Database, *, most_bytes: int = MOST_BYTES) -> None:
        self.position = 0
        """Up to here everything was handed out."""
        self._db = db
        self.most_bytes = most_bytes
        """Bytes of records that may wait for one reader."""
        self._readers: dict[Wanted, set[Subscription]] = {}
        self._users = 0
        self._listener: asyncio.Task[None] | None = None
        self._ending = set[asyncio.Task[None]]()
        self._listening = asyncio.Event()
        self._replays = asyncio.Semaphore(_REPLAYS)

    def subscribe(self, wanted: Wanted, after: int | None = None) -> Subscription:
        """A reader of its own, to be iterated once; for the parameters see `follow`."""
        return Subscription(self, wanted, after)

    async def follow(
        self,
        run_id: str | None = None,
        *,
        after: int | None = None,
        kinds: Sequence[str] | None = None,
        project: str | None = None,
    ) -> AsyncGenerator[Event]:
        """Events as they are written; of one run, of some kinds (`run.ended`, `run.*`), of one project.

        `after` is a run's seq where `run_id` is given, and 0 where it is left out; else a position
        (`Event.position`), and from now on where it is left out. Never ends by itself. Raises ReaderTooSlow,
        PositionUnknown.
        """
        projects = None if project is None else (project,)
        wanted = Wanted(run_id, None, None if kinds is None else tuple(kinds), projects)
        async with aclosing(self.subscribe(wanted, after).slices()) as slices:
            async for some in slices:
                for noted in some.items:
                    yield noted.event

    @property
    def readers(self) -> int:
        """How many read now."""
        return self._users

    async def close(self) -> None:
        """Stop listening. Readers get nothing more."""
        self._stop()
        await end(*self._ending)

    def _stop(self) -> None:
        if self._listener is not None:
            self._listener.cancel()
            self._ending.add(self._listener)
            self._listener.add_done_callback(self._ending.discard)
            self._listener = None

    @contextmanager
    def used(self) -> Generator[None]:
        """Listen meanwhile."""
        self._users += 1
        if self._listener is None:
            self._listening = asyncio.Event()
            self._listener = asyncio.create_task(self._listen(), name="event hub")
        try:
            yield
        finally:
            self._users -= 1
            if self._users == 0:
                self._stop()

    async def listening(self) -> None:
        """Wait until it listens, so that nothing that is written from now on is missed."""
        await self._listening.wait()

    @contextmanager
    def joined(self, reader: Subscription) -> Generator[None]:
        """Put what is wanted into the reader's buffer meanwhile."""
        self._readers.setdefault(reader.wanted, set()).add(reader)
        try:
            yield
        finally:
            alike = self._readers[reader.wanted]
            alike.discard(reader)
            if not alike:
                del self._readers[reader.wanted]

    async def known(self, position: int) -> None:
        """Raises PositionUnknown where no event of all runs has this position or a later one."""
        async with self._db.pool.connection() as connection:
            newest = await feed.newest(connection)
        if position > newest:
            raise PositionUnknown(
                f"The log ends at {newest}, before {position}",
                untouched="Nothing was sent",
                todo="Begin anew: the database is another one, or was restored from a backup",
            )

    async def past(self, wanted: Wanted, after: int) -> tuple[list[Noted], bool]:
        """A page of what is in the table already, and whether there may be more. Waits for the database."""
        read = feed.page if wanted.run_id is None else feed.page_of_run
        for failures in range(1_000_000):
            try:
                async with self._replays, self._db.pool.connection() as connection:
                    return await read(connection, wanted, after)
            except (psycopg.OperationalError, DatabaseUnavailable):
                await _back_off(failures)
        raise AssertionError

    async def _listen(self) -> None:
        failures = 0
        while True:
            try:
                connection = await self._db.connect()
            except DatabaseUnavailable:
                await _back_off(failures)
                failures += 1
                continue
            try:
                # First listen, then read: what is written between the two is announced.
                await connection.execute(queries.LISTEN)
                if not self._listening.is_set():
                    self.position = await feed.number(connection, None)
                    self._listening.set()
                failures = 0
                await self._keep_up(connection)
            except psycopg.OperationalError as error:
                logger.warning("events are not followed; connecting again", error=str(error).strip())
                await _back_off(failures)
                failures += 1
            except Exception:  # readers wait for it: it goes on
                logger.exception("events are not followed; connecting again")
                await _back_off(len(_BACKOFF))
            finally:
                await connection.close()

    async def _keep_up(self, connection: Connection) -> None:
        runs: set[str] | None = None  # of all: nobody knows what was announced to no connection
        while True:
            newest = await feed.number(connection, None if runs is None else sorted(runs))
            while self.position < newest:
                items, _ = await feed.page(connection, Wanted(), self.position)
                self._hand_out(items)
            runs = await _announced(connection)

    def _hand_out(self, items: Sequence[Noted]) -> None:
        position = items[-1].position
        assert position is not None
        everything = Slice(tuple(items), position)
        runs = {noted.run_id for noted in items}
        for wanted, readers in self._readers.items():
            if wanted.run_id is not None and wanted.run_id not in runs:
                continue
            some = everything.after(wanted.has)
            if some.items:
                for reader in readers:
                    reader.put(some)
        self.position = position


class Subscription:
    """One reader of a hub."""

    def __init__(self, hub: Hub, wanted: Wanted, after: int | None) -> None:
        self.wanted = wanted
        self._hub = hub
        self._after = 0 if after is None and wanted.run_id is not None else after
        self._waiting: deque[Slice] = deque()
        self._bytes = 0
        self._filled = asyncio.Event()
        self._cut = asyncio.Event()
        self._live = False

    @property
    def position(self) -> int | None:
        """After what it goes on: of what it has taken, or, where nothing waits for it, of all there was.

        A seq where one run is wanted. None before it began.
        """
        if self._live and not self._waiting and not self._cut.is_set() and self.wanted.run_id is None:
            return self._hub.position
        return self._after

    async def cut(self) -> None:
        """Wait until it was too slow; for who is held up in passing on what it took."""
        await self._cut.wait()

    def put(self, some: Slice) -> None:
        """Have it read this, or cut it."""
        if self._cut.is_set():
            return
        if self._waiting and self._bytes + some.size > self._hub.most_bytes:
            self._cut.set()
            self._waiting.clear()
        else:
            self._waiting.append(some)
            self._bytes += some.size
        self._filled.set()

    async def slices(self) -> AsyncGenerator[Slice]:
        """What is wanted, in order, none of it empty. Raises ReaderTooSlow, PositionUnknown."""
        with self._hub.used():
            await self._hub.listening()
            if self.wanted.run_id is None and self._after:
                await self._hub.known(self._after)
            if self._after is not None:
                # A long past is read before anything new has to be kept for this reader.
                async for some in self._past():
                    yield some
            with self._hub.joined(self):
                if self._after is None:
                    self._after = self._hub.position
                else:
                    async for some in self._past():
                        yield some
                self._live = True
                while True:
                    some = await self._next()
                    if some.items:
                        yield some

    async def _past(self) -> AsyncGenerator[Slice]:
        more = True
        while more:
            assert self._after is not None
            items, more = await self._hub.past(self.wanted, self._after)
            if items:
                yield self._taken(Slice(tuple(items), items[-1].position or 0))

    async def _next(self) -> Slice:
        while not self._waiting:
            if self._cut.is_set():
                raise ReaderTooSlow(
                    f"More than {self._hub.most_bytes:,} bytes of events were waiting",
                    untouched="Nothing is lost",
                    todo=f"Come back after {self._after}",
                )
            self._filled.clear()
            await self._filled.wait()
        some = self._waiting.popleft()
        self._bytes -= some.size
        return self._taken(some.after(self._is_new))

    def _is_new(self, noted: Noted) -> bool:
        return self._place(noted) > (self._after or 0)

    def _taken(self, some: Slice) -> Slice:
        if some.items:
            self._after = self._place(some.items[-1])
        return some

    def _place(self, noted: Noted) -> int:
        return noted.seq if self.wanted.run_id is not None else noted.position or 0


async def _back_off(failures: int) -> None:
    await asyncio.sleep(_BACKOFF[min(failures, len(_BACKOFF) - 1)])


async def _announced(connection: Connection) -> set[str] | None:
    """The runs of which something was announced, at once after a quiet time and else every so often; None
    where nothing was for a while."""
    await asyncio.sleep(WINDOW)
    runs = await _notified(connection, timeout=0)
    return runs or await _notified(connection, timeout=_LOOK_AGAIN, stop_after=1) or None


async def _notified(connection: Connection, *, timeout: float, stop_after: int | None = None) -> set[str]:
    notifications = connection.notifies(timeout=timeout, stop_after=stop_after)
    async with aclosing(notifications):
        return _runs([notification.payload async for notification in notifications])


def _runs(payloads: Iterable[str]) -> set[str]:
    return {payload.rpartition(":")[0] for payload in payloads}
