"""A run on a server, followed through its stream of events as one here is through the log."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import datetime
from typing import Any, Final

from api.client import Client, ServerAway
from api.client.models import ApprovalShown
from cli import person, results
from cli.interrupt import RunInterrupted
from cli.live import Feed, watching
from cli.screen import Screen, one_line
from core.events import Event
from governance.approvals import AlreadyDecided, Approval
from graph.lifecycle import ENDED, WAITING
from graph.summary import RunSummary

SCRIPTED: Final = "offline model: scripted output"
_TRIES: Final = (0.5, 1.0, 2.0, 5.0, 5.0, 5.0)
"""Seconds before a stream that broke off is taken up again."""


async def to_the_end(client: Client, run_id: str, screen: Screen, *, asks: bool = True) -> int:
    """Follow a run until it ends or waits for somebody who is not here; print it; return the exit code."""
    record = await client.runs_record(run_id)
    screen.announce([SCRIPTED] if record["model"] == "offline" else [])
    seen = 0
    try:
        while True:
            async with watching(screen, run_id) as view:
                feed = Feed(view)
                feed.seen = seen if not screen.err.is_terminal else 0
                await _follow(client, run_id, feed, screen, asks=asks)
                seen = feed.seen
            if not (asks and screen.interactive and await _ask(client, run_id, screen)):
                break
    except asyncio.CancelledError:
        raise RunInterrupted(run_id, untouched="The run goes on on the server") from None
    return results.show(await summary(client, run_id), screen)


async def summary(client: Client, run_id: str) -> RunSummary:
    """The run in one object."""
    return RunSummary.model_validate(await client.runs_show(run_id))


async def _follow(client: Client, run_id: str, feed: Feed, screen: Screen, *, asks: bool) -> None:
    async def settled() -> bool:
        now = await summary(client, run_id)
        if now.status in ENDED:
            return True
        return now.status in WAITING and bool(now.waiting_for) and (asks or not screen.interactive)

    async for event in _events(client, run_id, feed.seen):
        feed.show(event)
        if event.kind.startswith(("run.", "approval.requested")) and await settled():
            break
    # What ended or asked has come; what was written in the same moment may stand behind it.
    async for event in _rest(client, run_id, feed.seen):
        feed.show(event)


async def _events(client: Client, run_id: str, after: int) -> AsyncGenerator[Event]:
    """The run's events, those there were and those to come, until it has ended; over broken connections."""
    failed = 0
    while True:
        try:
            async with client.events_of_run(run_id, after=after) as answer:
                async for line in answer.aiter_lines():
                    if line.startswith("data: "):
                        event = _event(json.loads(line.removeprefix("data: ")), run_id)
                        after, failed = event.seq, 0
                        yield event
            if (await summary(client, run_id)).status in ENDED:
                return
        except ServerAway:
            if failed >= len(_TRIES):
                raise
            await asyncio.sleep(_TRIES[failed])
            failed += 1


async def _rest(client: Client, run_id: str, after: int) -> AsyncGenerator[Event]:
    place: str | None = None
    while True:
        page = await client.events_list(run_id, limit=200, after=place)
        for told in page["items"]:
            if told["seq"] > after:
                yield _event({**told, "prev_hash": ""}, run_id)
        place = page["next"]
        if place is None:
            return


async def _decided(client: Client, asked: Approval) -> Approval:
    """Wait until somebody has decided, from whatever surface."""
    async with aclosing(_events(client, asked.run_id, 0)) as events:
        async for event in events:
            if event.kind == "approval.decided" and event.payload["approval_id"] == asked.id:
                break
    return approval_of(await client.approvals_show(asked.id))


async def _ask(client: Client, run_id: str, screen: Screen) -> bool:
    """Ask the person here each question; whether anything was decided."""
    decided = False
    for told in (await client.approvals_list(run=run_id))["items"]:
        asked = approval_of(told)
        try:
            said = await person.ask_first(screen, asked, _decided(client, asked))
        except AlreadyDecided as already:
            screen.note(str(already), style="yellow")
            decided = True
            continue
        if said is not None and said.decision != "expired":
            done = await client.approvals_decide(
                told["approval_id"], {"decision": said.decision, "text": said.text}
            )
            screen.note(f"✓ {done['decision']}: {one_line(done['answer'] or '', 60)}", style="green")
            decided = True
    return decided


def approval_of(told: ApprovalShown) -> Approval:
    """A question as the surfaces here know it."""
    moments = {
        name: None if told[name] is None else datetime.fromisoformat(str(told[name]))
        for name in ("created_at", "expires_at", "decided_at")
    }
    fields: dict[str, Any] = {**told, **moments, "key": "", "allowed": tuple(told["allowed"])}
    fields["id"] = fields.pop("approval_id")
    return Approval(**fields)


def _event(told: dict[str, Any], run_id: str) -> Event:
    return Event(
        run_id=run_id,
        seq=told["seq"],
        at=datetime.fromisoformat(told["at"]),
        kind=told["kind"],
        team=told["team"],
        payload=told["payload"],
        prev_hash=told["prev_hash"],
        hash=told["hash"],
    )
