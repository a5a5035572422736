"""Makes deliveries of events, from the event log by position, once each, whatever dies meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from psycopg.rows import DictRow

from api.webhooks import queries, topics
from core import clock, feed
from core.database import Database
from core.feed import Connection, Noted, Wanted

_WANTED = Wanted(kinds=topics.KINDS)


async def dispatch(db: Database) -> bool:
    """Make the deliveries of the next page of events; whether there may be more.

    The deliveries and how far the log was read are one transaction.
    """
    async with db.pool.connection() as conn, conn.transaction():
        row = await (await conn.execute(queries.CURSOR)).fetchone()
        if row is None:
            return False
        # In this order: a webhook that is added meanwhile is told of what comes after `newest`.
        newest = await feed.newest(conn)
        hooks = await (await conn.execute(queries.WANTED)).fetchall()
        items, more = await feed.page(conn, _WANTED, row["position"]) if hooks else ([], False)
        for noted in items:
            if (noted.position or 0) <= newest:
                await _add(conn, noted, hooks)
        position = min(newest, items[-1].position or 0) if more else newest
        if position > row["position"]:
            await conn.execute(queries.MOVE_CURSOR, {"position": position})
    return more and position < newest


async def _add(conn: Connection, noted: Noted, hooks: Sequence[DictRow]) -> None:
    about = topics.topics_of(noted.event)
    for hook in hooks:
        topic = topics.first(about, hook["topics"])
        if topic is None or not _concerns(hook, noted):
            continue
        values: dict[str, Any] = {
            "id": clock.new_id("msg"),
            "webhook": hook["id"],
            "position": noted.position,
            "topic": topic,
        }
        await conn.execute(queries.ADD_DELIVERY, values)


def _concerns(hook: DictRow, noted: Noted) -> bool:
    return (noted.position or 0) > hook["since"] and hook["project"] in (None, noted.project)
