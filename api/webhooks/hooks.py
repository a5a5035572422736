"""The webhooks of a factory, and what became of their deliveries."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Final, Literal
from urllib.parse import urlsplit

from psycopg.rows import DictRow

from api.webhooks import queries, signing
from api.webhooks.addresses import Addresses
from api.webhooks.signing import Sealer
from api.webhooks.topics import MEANINGS, Topic, body
from core import clock, feed
from core.database import Database
from core.errors import BadInput, NotFound
from core.events import SERVICE, EventLog
from core.settings import Settings

State = Literal["pending", "delivered", "failed"]
"""pending: to be sent, or being sent. delivered: answered with 2xx. failed: given up after a day."""


MOST_FOR_RUNS: Final = 1_000
"""URLs that runs of the Agent Protocol may name."""


class WebhookInvalid(BadInput):
    """The webhook cannot be."""


@dataclass(frozen=True, slots=True)
class Webhook:
    """Somebody who is told."""

    id: str
    url: str
    topics: list[Topic]
    project: str | None
    """None: all projects, and what is of none."""
    created_at: datetime
    created_by: str
    failing_since: datetime | None
    disabled_at: datetime | None
    disabled_because: str | None


@dataclass(frozen=True, slots=True)
class Delivery:
    """One thing that a webhook is to be told."""

    id: str
    """The header webhook-id; the same in each attempt."""
    webhook_id: str
    position: int
    """Of the event; of a run of the Agent Protocol its number, negative."""
    topic: Topic
    body: str
    """What is sent, as the log has it now: what was forgotten since is gone here too."""
    created_at: datetime
    state: State
    attempts: int
    next_at: datetime | None
    last_at: datetime | None
    last_status: int | None
    last_error: str | None


@dataclass(frozen=True)
class Webhooks:
    """Adds, shows and removes them."""

    db: Database
    events: EventLog
    settings: Settings

    @cached_property
    def addresses(self) -> Addresses:
        """Where they may lead."""
        return Addresses(tuple(self.settings.webhook_allow))

    async def sealer(self) -> Sealer:
        """Opens their secrets. Raises KeyUnusable."""
        if "_sealer" not in vars(self):
            await asyncio.to_thread(lambda: self._sealer)
        return self._sealer

    @cached_property
    def _sealer(self) -> Sealer:
        return Sealer.of(self.settings)  # reads a file

    async def add(
        self, url: str, topics: Sequence[str], *, project: str | None, by: str
    ) -> tuple[Webhook, str]:
        """A new webhook and its secret, which is shown this once. It is told of what happens from now on.

        Raises UrlRefused, WebhookInvalid.
        """
        self.addresses.checked(url)
        unknown = [topic for topic in topics if topic not in MEANINGS]
        if unknown or not topics:
            raise WebhookInvalid(
                f"There is no event {', '.join(unknown)}" if unknown else "No event is named",
                untouched="Nothing was added",
                todo=f"There are: {', '.join(MEANINGS)}",
            )
        hook_id, secret = clock.new_id("hook"), signing.new_secret()
        values = {
            "id": hook_id,
            "url": url,
            "topics": sorted(set(topics)),
            "project": project,
            "sealed": (await self.sealer()).seal(secret, hook_id),
            "by": by,
        }
        # Of a URL only the host is told: its path is often a secret.
        said = {"webhook": hook_id, "host": urlsplit(url).hostname, "topics": sorted(set(topics)), "by": by}
        async with self.db.pool.connection() as conn, conn.transaction():
            await feed.number(conn, None)  # what has happened before is not for it
            await conn.execute(queries.ADD, values)
            await self.events.append(SERVICE, "webhook.added", said, conn=conn)
        return await self.get(hook_id), secret

    async def for_runs(self, url: str, *, by: str) -> None:
        """Have that URL told of runs of the Agent Protocol that name it; added, where nobody has yet.

        Raises UrlRefused, WebhookInvalid.
        """
        self.addresses.checked(url)
        async with self.db.pool.connection() as conn:
            row = await (await conn.execute(queries.FOR_RUNS, {"url": url})).fetchone()
        assert row is not None
        if row["id"] is not None:
            return
        if row["n"] >= MOST_FOR_RUNS:
            raise WebhookInvalid(
                f"Runs have named {row['n']} URLs as their webhooks; that is the most",
                untouched="Nothing was started",
                todo="Remove some: factory webhook list",
            )
        await self.add(url, ["protocol.run"], project=None, by=by)

    async def get(self, hook_id: str) -> Webhook:
        """One of them; raises NotFound."""
        found = await self._read(hook_id, None, 1)
        if not found:
            raise _no_webhook(hook_id)
        return found[0]

    async def list(self, *, after: str | None = None, limit: int = 1_000) -> Sequence[Webhook]:
        """All of them, by id, beyond `after`."""
        return await self._read(None, after, limit)

    async def remove(self, hook_id: str, *, by: str) -> None:
        """Remove it and its deliveries. Raises NotFound."""
        async with self.db.pool.connection() as conn, conn.transaction():
            if await (await conn.execute(queries.REMOVE, {"id": hook_id})).fetchone() is None:
                raise _no_webhook(hook_id)
            await self.events.append(SERVICE, "webhook.removed", {"webhook": hook_id, "by": by}, conn=conn)

    async def enable(self, hook_id: str, *, by: str) -> Webhook:
        """Tell one again that was disabled; of one that is not, nothing changes. Raises NotFound."""
        async with self.db.pool.connection() as conn, conn.transaction():
            if await (await conn.execute(queries.ENABLE, {"id": hook_id})).fetchone() is not None:
                said = {"webhook": hook_id, "by": by}
                await self.events.append(SERVICE, "webhook.enabled", said, conn=conn)
        return await self.get(hook_id)

    async def deliveries(
        self,
        hook_id: str | None = None,
        *,
        state: State | None = None,
        before: int | None = None,
        limit: int = 100,
    ) -> Sequence[Delivery]:
        """What was or is to be told, the newest first; of events before position `before`."""
        if hook_id is not None:
            await self.get(hook_id)
        values = {"webhook": hook_id, "id": None, "state": state, "before": before, "limit": limit}
        async with self.db.pool.connection() as conn:
            return await _with_bodies(conn, await (await conn.execute(queries.DELIVERIES, values)).fetchall())

    async def redeliver(self, delivery_id: str, *, webhook: str | None = None) -> Delivery:
        """Send it again, whatever became of it, under the same id. Raises NotFound."""
        values = {"id": delivery_id, "webhook": webhook, "state": None, "before": None, "limit": 1}
        async with self.db.pool.connection() as conn:
            await conn.execute(queries.REDELIVER, values)
            rows = await (await conn.execute(queries.DELIVERIES, values)).fetchall()
            found = await _with_bodies(conn, rows)
        if not found:
            raise NotFound(
                f"There is no delivery {delivery_id}",
                untouched="Nothing was sent",
                todo="Deliveries are kept for 30 days; list them with: factory webhook deliveries",
            )
        return found[0]

    async def _read(self, hook_id: str | None, after: str | None, limit: int) -> Sequence[Webhook]:
        values = {"id": hook_id, "after": after, "limit": limit}
        async with self.db.pool.connection() as conn:
            rows = await (await conn.execute(queries.WEBHOOKS, values)).fetchall()
        return [Webhook(**row) for row in rows]


async def _with_bodies(conn: feed.Connection, rows: Sequence[DictRow]) -> Sequence[Delivery]:
    found = {noted.position: noted for noted in await feed.at(conn, [row["position"] for row in rows])}
    return [
        Delivery(**row, body=body(found[row["position"]], row["topic"]) if message is None else message)
        for row in rows
        for message in [row.pop("message")]
    ]


def _no_webhook(hook_id: str) -> NotFound:
    return NotFound(
        f"There is no webhook {hook_id}",
        untouched="Nothing was changed",
        todo="List them with: factory webhook list",
    )
