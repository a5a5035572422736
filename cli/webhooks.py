"""`factory webhook`, straight in the database of this machine."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Any, cast

from api.webhooks.hooks import Delivery, Webhook, Webhooks
from cli.screen import Screen, table
from cli.whoami import whoami
from core.database import Database
from core.events import EventLog
from core.json import JsonObject, parse
from core.settings import Settings


@asynccontextmanager
async def _opened() -> AsyncGenerator[Webhooks]:
    settings = Settings.load()
    async with Database.open(settings) as db:
        yield Webhooks(db, EventLog(db), settings)


async def add(url: str, topics: Sequence[str], project: str | None, *, as_json: bool) -> int:
    """Add one and print its secret; returns 0."""
    screen = Screen(as_json)
    async with _opened() as webhooks:
        hook, secret = await webhooks.add(url, topics, project=project, by=whoami())
    if as_json:
        screen.result(cast(JsonObject, {"webhook": _told(hook), "secret": secret}))
        return 0
    screen.say(secret)
    screen.note(f"{hook.id}: {', '.join(hook.topics)}{f' of {hook.project}' if hook.project else ''}.")
    screen.note("The secret is shown this once. `factory serve` sends the messages.")
    return 0


async def list_(*, as_json: bool) -> int:
    """Print them; returns 0."""
    screen = Screen(as_json)
    async with _opened() as webhooks:
        found = await webhooks.list()
    if as_json:
        screen.result(cast(JsonObject, {"webhooks": [_told(hook) for hook in found]}))
        return 0
    rows = table("id", "url", "told of", "project", "state")
    for hook in found:
        rows.add_row(hook.id, hook.url, ", ".join(hook.topics), hook.project or "all", _state(hook))
    screen.out.print(rows)
    return 0


async def remove(hook_id: str, *, as_json: bool) -> int:
    """Remove one; returns 0."""
    screen = Screen(as_json)
    async with _opened() as webhooks:
        hook = await webhooks.get(hook_id)
        await webhooks.remove(hook_id, by=whoami())
    return _show(screen, _told(hook), f"{hook.id} is told nothing any more, and its deliveries are deleted.")


async def enable(hook_id: str, *, as_json: bool) -> int:
    """Tell one again; returns 0."""
    screen = Screen(as_json)
    async with _opened() as webhooks:
        hook = await webhooks.enable(hook_id, by=whoami())
    return _show(screen, _told(hook), f"{hook.id} is told of what happens from now on.")


async def deliveries(hook_id: str | None, limit: int, *, as_json: bool) -> int:
    """Print deliveries; returns 0."""
    screen = Screen(as_json)
    async with _opened() as webhooks:
        found = await webhooks.deliveries(hook_id, limit=limit)
    if as_json:
        screen.result(cast(JsonObject, {"deliveries": [_sent(delivery) for delivery in found]}))
        return 0
    rows = table("id", "webhook", "event", "state", "attempts", "last answer", right=("attempts",))
    for one in found:
        last = one.last_error or (str(one.last_status) if one.last_status else "")
        rows.add_row(one.id, one.webhook_id, one.topic, one.state, str(one.attempts), last)
    screen.out.print(rows)
    return 0


async def redeliver(delivery_id: str, *, as_json: bool) -> int:
    """Have one sent again; returns 0."""
    screen = Screen(as_json)
    async with _opened() as webhooks:
        delivery = await webhooks.redeliver(delivery_id)
    return _show(screen, _sent(delivery), f"{delivery.id} is sent again by the next server that looks.")


def _state(hook: Webhook) -> str:
    if hook.disabled_at is not None:
        return f"disabled: {hook.disabled_because}"
    return f"failing since {hook.failing_since:%Y-%m-%d %H:%M}" if hook.failing_since else "well"


def _told(hook: Webhook) -> dict[str, Any]:
    told = asdict(hook)
    told["events"] = told.pop("topics")
    return told


def _sent(delivery: Delivery) -> dict[str, Any]:
    told = asdict(delivery)
    told["message"] = parse(told.pop("body"))
    told["event"] = told.pop("topic")
    return told


def _show(screen: Screen, what: dict[str, Any], said: str) -> int:
    if screen.as_json:
        screen.result(cast(JsonObject, what))
    else:
        screen.say(said)
    return 0
