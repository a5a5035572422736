"""Sends what is due, and records what became of it. Any number of processes may do so at once."""

from __future__ import annotations

import asyncio
import contextlib
import random
import ssl
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any, Final

import httpx
from psycopg.rows import DictRow

from api.webhooks import queries, signing
from api.webhooks.addresses import Place
from api.webhooks.dispatching import dispatch
from api.webhooks.hooks import Webhooks
from api.webhooks.topics import KINDS, body
from core import clock, faults, feed, logs
from core.errors import FactoryError
from core.events import SERVICE
from core.feed import Wanted
from core.hub import Hub, ReaderTooSlow
from core.tasks import CLEANING, end

LEASE: Final = 60.0
"""Seconds after which a delivery whose sender has died is another one's."""
FIRST_WAIT: Final = 5.0
LONGEST_WAIT: Final = 4 * 3600.0
"""Seconds between two attempts: they triple from the first to the longest, each a fifth more or less."""
TIMEOUT: Final = 10.0
"""Seconds that an attempt may take, from the name to the last byte of the answer."""
AT_ONCE: Final = 16
"""Attempts under way in one process."""
EACH: Final = 4
"""Of those to one webhook."""
_ANSWER: Final = 65_536
"""Bytes of an answer that are read; nothing of them is kept."""
LOOK: Final = 5.0
"""Seconds between two looks at what is due, at most: another process may have been told to send again."""
_FORGET: Final = 3_600.0
"""Seconds between two times that old deliveries are deleted."""

logger = logs.get(__name__)


@dataclass(frozen=True)
class Outcome:
    """What came of an attempt."""

    status: int | None
    error: str | None
    """None: it arrived."""
    gone: bool = False
    """Whether the receiver wants to hear no more (410)."""


def wait_after(attempts: int) -> float:
    """Seconds to the next attempt after so many."""
    wait = min(FIRST_WAIT * 3.0 ** min(attempts - 1, 20), LONGEST_WAIT)
    return wait * random.uniform(0.8, 1.2)  # noqa: S311 (spreads load, guards nothing)


@asynccontextmanager
async def sending(webhooks: Webhooks, hub: Hub) -> AsyncGenerator[None]:
    """Send meanwhile, beside whatever else this process does."""
    task = asyncio.create_task(Sender(webhooks, hub).run(), name="webhooks")
    try:
        yield
    finally:
        await end(task, again=CLEANING)


@dataclass
class Sender:
    """One per process that serves."""

    webhooks: Webhooks
    hub: Hub
    lease: float = LEASE
    timeout: float = TIMEOUT
    pause: float = LOOK
    tls: ssl.SSLContext | None = None
    """Whose certificates count; the system's where none is given."""
    _client: httpx.AsyncClient | None = None
    _busy: Counter[str] = field(default_factory=Counter[str])
    _tasks: set[asyncio.Task[None]] = field(default_factory=set[asyncio.Task[None]])
    _forgot: float = float("-inf")
    _wake: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        """Send until cancelled."""
        watching = asyncio.create_task(self._watch(), name="webhooks: events")
        try:
            while True:
                wait = self.pause
                try:
                    wait = await self.look()
                except Exception:  # the database may be away for a while; the server stays
                    logger.exception("webhooks not looked at")
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        await self._wake.wait()
                self._wake.clear()
        finally:
            await end(watching, *self._tasks)
            if self._client is not None:
                await self._client.aclose()

    async def look(self) -> float:
        """Make deliveries of what has happened, begin to send what is due; seconds to the next look."""
        db = self.webhooks.db
        while await dispatch(db):
            pass
        async with db.pool.connection() as conn:
            rows: list[DictRow] = []
            if len(self._tasks) < AT_ONCE:
                values = {
                    "busy": [hook for hook, count in self._busy.items() if count >= EACH],
                    "limit": min(EACH, AT_ONCE - len(self._tasks)),
                    "lease": self.lease,
                }
                rows = await (await conn.execute(queries.TAKE, values)).fetchall()
            due = await (await conn.execute(queries.NEXT_DUE)).fetchone()
            if clock.monotonic() - self._forgot > _FORGET:
                await conn.execute(queries.FORGET_OLD)
                self._forgot = clock.monotonic()
        for row in rows:
            self._begin(row)
        if len(self._tasks) >= AT_ONCE or due is None or due["seconds"] is None:
            return self.pause
        return min(max(due["seconds"], 0.0 if rows else 0.5), self.pause)

    def _begin(self, row: DictRow) -> None:
        self._busy[row["webhook_id"]] += 1
        task = asyncio.create_task(self._deliver(row), name=f"webhook {row['id']}")
        self._tasks.add(task)

        def ended(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            self._busy[row["webhook_id"]] -= 1
            self._busy += Counter()  # drops what is at nought
            self._wake.set()

        task.add_done_callback(ended)

    async def _deliver(self, row: DictRow) -> None:
        try:
            outcome = await self._attempt(row)
            faults.point("webhook.sent")
            await self._record(row, outcome)
        except Exception:  # its lease runs out, and it is sent again
            logger.exception("a delivery was not recorded", delivery=row["id"])

    async def _attempt(self, row: DictRow) -> Outcome:
        try:
            message = await self._message(row)
            secret = (await self.webhooks.sealer()).open(bytes(row["sealed"]), row["webhook_id"])
            async with asyncio.timeout(self.timeout):
                place = await self.webhooks.addresses.find(row["url"])
                return await self._post(place, row["id"], message, secret)
        except TimeoutError:
            return Outcome(None, f"No answer within {self.timeout:g} s")
        except FactoryError as refused:
            return Outcome(None, refused.what)
        except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError) as error:
            return Outcome(None, f"{type(error).__name__}: {error}"[:300])

    async def _message(self, row: DictRow) -> bytes:
        if row["message"] is not None:
            return str(row["message"]).encode()
        async with self.webhooks.db.pool.connection() as conn:
            [noted] = await feed.at(conn, [row["position"]])
        return body(noted, row["topic"]).encode()

    async def _post(self, place: Place, message_id: str, message: bytes, secret: str) -> Outcome:
        seconds = int(clock.now().timestamp())
        client = await self._opened()
        request = client.build_request(
            "POST",
            place.url,
            content=message,
            headers={
                "Host": place.authority,
                "Content-Type": "application/json",
                **signing.headers(secret, message_id, seconds, message),
            },
            # The certificate is that of the name, whatever address it led to.
            extensions={"sni_hostname": place.host},
        )
        answer = await client.send(request, stream=True)
        try:
            read = 0
            async for piece in answer.aiter_raw():
                read += len(piece)
                if read > _ANSWER:
                    break
        finally:
            await answer.aclose()
        if answer.is_success:
            return Outcome(answer.status_code, None)
        said = "it is elsewhere, and redirects are not followed" if answer.is_redirect else "not accepted"
        return Outcome(answer.status_code, f"{answer.status_code}: {said}", gone=answer.status_code == 410)

    async def _record(self, row: DictRow, outcome: Outcome) -> None:
        values: dict[str, Any] = {
            "id": row["id"],
            "webhook": row["webhook_id"],
            "status": outcome.status,
            "error": outcome.error,
            "wait": wait_after(row["attempts"]),
        }
        async with self.webhooks.db.pool.connection() as conn, conn.transaction():
            if outcome.error is None:
                await conn.execute(queries.DELIVERED, values)
                return
            logger.info("webhook not delivered", delivery=row["id"], webhook=row["webhook_id"])
            found = await (await conn.execute(queries.FAILED, values)).fetchone()
            because = "the receiver says that it is gone (410)" if outcome.gone else None
            if found is not None and found["for_long"]:
                because = "nothing has arrived for a day"
            if because is None:
                return
            said = {"id": row["webhook_id"], "because": because}
            if await (await conn.execute(queries.DISABLE, said)).fetchone() is not None:
                payload = {"webhook": row["webhook_id"], "because": because, "last_error": outcome.error}
                await self.webhooks.events.append(SERVICE, "webhook.disabled", payload, conn=conn)

    async def _watch(self) -> None:
        """Look at once when something happens that a webhook may be about."""
        while True:
            with contextlib.suppress(ReaderTooSlow):
                async with contextlib.aclosing(self.hub.subscribe(Wanted(kinds=KINDS)).slices()) as slices:
                    async for _ in slices:
                        self._wake.set()

    async def _opened(self) -> httpx.AsyncClient:
        if self.tls is None:
            self.tls = await asyncio.to_thread(ssl.create_default_context)  # it reads files
        if self._client is None:
            self._client = self._made(self.tls)
        return self._client

    def _made(self, tls: ssl.SSLContext) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            verify=tls,
            trust_env=False,  # a proxy would resolve the name anew
            follow_redirects=False,
            timeout=self.timeout,
            limits=httpx.Limits(max_keepalive_connections=0),
            headers={"User-Agent": f"factory/{version('factory-ai')}", "Accept-Encoding": "identity"},
        )
