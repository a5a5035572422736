"""Webhooks against a receiver on loopback: signed, again until they arrive, nowhere they may not go."""

from __future__ import annotations

import asyncio
import signal
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from api.webhooks import dispatching, sending
from api.webhooks.hooks import Webhooks
from api.webhooks.sending import Sender
from api.webhooks.signing import Sealer, SecretSealed
from core import feed
from core.database import Database
from core.events import SERVICE, Entry, EventLog
from core.settings import Settings
from memory.audit.forgetting import forget_phrase
from tests.api.conftest import OpenServed, Served
from tests.doubles.receiver import HANG, certificate, receiving

LOCAL = ["127.0.0.1"]


@asynccontextmanager
async def _sending(served: Served, **more: Any) -> AsyncIterator[Sender]:
    sender = Sender(served.service.webhooks, served.service.hub, pause=0.2, **more)
    task = asyncio.create_task(sender.run())
    try:
        yield sender
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _add(served: Served, url: str, *events: str, **more: Any) -> tuple[str, str]:
    given = {"url": url, "events": list(events) or ["run.ended"], **more}
    answer = await served.http.post("/api/v1/webhooks", json=given)
    assert answer.status_code == 201, answer.text
    return answer.json()["webhook"]["id"], answer.json()["secret"]


async def _deliveries(served: Served, hook: str) -> list[dict[str, Any]]:
    return (await served.http.get(f"/api/v1/webhooks/{hook}/deliveries")).json()["items"]


async def _settled(served: Served, hook: str, attempts: int) -> dict[str, Any]:
    """The one delivery, once so many attempts at it are recorded."""
    async with asyncio.timeout(15):
        while True:
            found = await _deliveries(served, hook)
            if (
                found
                and found[0]["attempts"] >= attempts
                and (found[0]["last_status"] or found[0]["last_error"])
            ):
                return found[0]
            await asyncio.sleep(0.02)


def _recorded(delivery: dict[str, Any]) -> bool:
    return delivery["last_status"] is not None or delivery["last_error"] is not None


async def _hurry(served: Served) -> None:
    """Let all waiting be over."""
    async with served.factory.db.pool.connection() as conn:
        await conn.execute("UPDATE webhook_deliveries SET next_at = now() WHERE state = 'pending'")


async def _run(served: Served, project: str = "ferns") -> str:
    return await served.factory.submit("A page about ferns", pipeline="one", project=project)


async def test_a_run_that_ends_is_told_signed_and_its_secret_is_shown_once(open_served: OpenServed) -> None:
    async with open_served(webhook_allow=LOCAL) as served, receiving() as receiver, _sending(served):
        hook, secret = await _add(served, receiver.url)
        run_id = await _run(served)
        event = await served.factory.events.append(run_id, "run.ended", {"status": "completed"})
        (got,) = await receiver.until(1)
        assert got.is_signed(secret)
        assert got.headers["host"] == f"127.0.0.1:{receiver.port}"
        assert got.message["type"] == "run.ended"
        data = got.message["data"]
        assert (data["run_id"], data["project"], data["seq"]) == (run_id, "ferns", event.seq)
        assert data["payload"] == {"status": "completed"}
        delivery = await _settled(served, hook, 1)
        assert (delivery["state"], delivery["last_status"]) == ("delivered", 204)
        assert delivery["id"] == got.headers["webhook-id"]
        everything = [
            (await served.http.get(f"/api/v1/webhooks{path}")).text for path in ("", f"/{hook}")
        ] + [repr(await served.factory.events.read(SERVICE)), await _dump(served)]
        assert not any(secret in text or secret.removeprefix("whsec_") in text for text in everything)


async def _dump(served: Served) -> str:
    async with served.factory.db.pool.connection() as conn:
        return repr(await (await conn.execute("SELECT * FROM webhooks")).fetchall())


async def test_each_webhook_is_told_what_it_wants_of_its_project(open_served: OpenServed) -> None:
    async with open_served(webhook_allow=LOCAL) as served, receiving() as receiver, receiving() as other:
        before = await _run(served)
        await served.factory.events.append(before, "run.ended", {"status": "failed"})
        hook, _ = await _add(served, receiver.url, "approval.wanted", "budget", project="ferns")
        _, _ = await _add(served, other.url, "incident", "run.ended", "budget")
        ferns, mosses = await _run(served), await _run(served, "mosses")
        log = served.factory.events
        for run_id in (ferns, mosses):
            await log.append(run_id, "approval.requested", {"kind": "review"})
            await log.append(run_id, "approval.requested", {"kind": "budget"})
            await log.append(run_id, "budget.extended", {"budget": "run"})
            await log.append(run_id, "run.interrupted", {"reason": "x"})
        async with _sending(served):
            await receiver.until(3)
            await other.until(6)
            told = sorted((got.message["type"], got.message["data"]["kind"]) for got in receiver.received)
            assert told == [
                ("approval.wanted", "approval.requested"),
                ("approval.wanted", "approval.requested"),
                ("budget", "budget.extended"),
            ]
            assert {got.message["data"]["project"] for got in receiver.received} == {"ferns"}
            types = sorted(got.message["type"] for got in other.received)
            assert types == ["budget", "budget", "budget", "budget", "incident", "incident"]
        assert len(await _deliveries(served, hook)) == 3


async def test_what_is_not_accepted_is_sent_again_later_under_the_same_id(open_served: OpenServed) -> None:
    async with (
        open_served(webhook_allow=LOCAL) as served,
        receiving() as receiver,
        _sending(served, timeout=1),
    ):
        receiver.answers += ["500 No", HANG, "302 Found\r\nLocation: http://127.0.0.1:1/", "200 OK"]
        hook, secret = await _add(served, receiver.url)
        await served.factory.events.append(await _run(served), "run.ended")
        said: list[str] = []
        for attempt in range(1, 5):
            await receiver.until(attempt)
            delivery = await _settled(served, hook, attempt)
            while delivery["next_at"] is not None and delivery["last_error"] in (*said[-1:], None):
                await asyncio.sleep(0.02)
                delivery = await _settled(served, hook, attempt)
            said.append(delivery["last_error"])
            if attempt < 4:
                assert delivery["state"] == "pending"
                assert (await served.http.get(f"/api/v1/webhooks/{hook}")).json()["failing_since"]
            await _hurry(served)
        assert said == [
            "500: not accepted",
            "No answer within 1 s",
            "302: it is elsewhere, and redirects are not followed",
            None,
        ]
        assert len({got.headers["webhook-id"] for got in receiver.received}) == 1
        assert all(got.is_signed(secret) for got in receiver.received)
        assert (await served.http.get(f"/api/v1/webhooks/{hook}")).json()["failing_since"] is None
        sent = await served.http.post(f"/api/v1/webhooks/{hook}/deliveries/{delivery['id']}/redeliver")
        assert sent.status_code == 202
        assert (await receiver.until(5))[4].headers["webhook-id"] == delivery["id"]


def test_the_attempts_of_a_delivery_spread_over_a_day() -> None:
    waits = [sending.wait_after(attempt) for attempt in range(1, 40)]
    assert 4 <= waits[0] <= 6
    assert max(waits) <= sending.LONGEST_WAIT * 1.2
    assert len(set(waits[10:])) > 1  # they do not come all at once
    whole = sum(min(5.0 * 3**n, sending.LONGEST_WAIT) for n in range(14))
    assert 86_400 < whole < 2 * 86_400


async def test_a_webhook_at_which_nothing_arrives_for_a_day_is_disabled_and_told_of(
    open_served: OpenServed,
) -> None:
    async with open_served(webhook_allow=LOCAL) as served, receiving() as receiver, receiving() as well:
        hook, _ = await _add(served, receiver.url)
        await _add(served, well.url, "incident")
        receiver.answers += ["503 Busy"] * 5
        async with _sending(served):
            await served.factory.events.append(await _run(served), "run.ended")
            await receiver.until(1)
            await _settled(served, hook, 1)
            async with served.factory.db.pool.connection() as conn:
                await conn.execute("UPDATE webhooks SET failing_since = failing_since - interval '1 day'")
                await conn.execute("UPDATE webhook_deliveries SET until = now() + interval '1 second'")
            await _hurry(served)
            (got,) = await well.until(1)
            assert (got.message["type"], got.message["data"]["kind"]) == ("incident", "webhook.disabled")
            assert got.message["data"]["payload"]["webhook"] == hook
            assert receiver.url not in got.body.decode()
            shown = (await served.http.get(f"/api/v1/webhooks/{hook}")).json()
            assert shown["disabled_because"] == "nothing has arrived for a day"
            assert (await _deliveries(served, hook))[0]["state"] == "failed"
            receiver.answers.clear()
            await served.http.post(f"/api/v1/webhooks/{hook}/enable")
            await served.factory.events.append(await _run(served), "run.ended")
            await receiver.until(3)


async def test_a_receiver_that_is_gone_is_left_alone(open_served: OpenServed) -> None:
    async with open_served(webhook_allow=LOCAL) as served, receiving() as receiver, _sending(served):
        receiver.answers += ["410 Gone"]
        hook, _ = await _add(served, receiver.url)
        await served.factory.events.append(await _run(served), "run.ended")
        await receiver.until(1)
        async with asyncio.timeout(30):
            while not (await served.http.get(f"/api/v1/webhooks/{hook}")).json()["disabled_at"]:
                await asyncio.sleep(0.02)


async def test_a_receiver_that_hangs_does_not_hold_up_the_others(open_served: OpenServed) -> None:
    async with open_served(webhook_allow=LOCAL) as served, receiving() as slow, receiving() as well:
        slow.answers += [HANG] * 100
        await _add(served, slow.url)
        await _add(served, well.url)
        run_id = await _run(served)
        await served.factory.events.append_all(
            run_id, [Entry("run.ended", {"n": n}, key=str(n)) for n in range(40)]
        )
        async with _sending(served, timeout=60):
            await well.until(40, seconds=20)
            assert 1 <= len(slow.received) <= 2 * sending.EACH


async def test_two_senders_send_each_message_once(open_served: OpenServed) -> None:
    async with open_served(webhook_allow=LOCAL) as served, receiving() as receiver:
        await _add(served, receiver.url)
        run_id = await _run(served)
        async with _sending(served), _sending(served), _sending(served):
            for n in range(30):
                await served.factory.events.append(run_id, "run.ended", {"n": n})
            await receiver.until(30, seconds=20)
            await asyncio.sleep(0.3)
        told = [got.message["data"]["payload"]["n"] for got in receiver.received]
        assert sorted(told) == list(range(30))


async def test_a_sender_that_is_killed_between_send_and_record_sends_it_again(
    open_served: OpenServed, factory_env: dict[str, str]
) -> None:
    async with open_served(webhook_allow=LOCAL) as served, receiving() as receiver:
        hook, _ = await _add(served, receiver.url)
        await served.factory.events.append(await _run(served), "run.ended")
        env = factory_env | {
            "FACTORY_WEBHOOK_ALLOW": "127.0.0.1",
            "FACTORY_HOME": str(served.factory.settings.home),
            "FACTORY_CRASH_AT": "webhook.sent",
        }
        sender = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.api.webhook_sender", env=env, stdin=asyncio.subprocess.DEVNULL
        )
        assert await asyncio.wait_for(sender.wait(), 30) == -signal.SIGKILL
        assert len(receiver.received) == 1
        (delivery,) = await _deliveries(served, hook)
        assert (delivery["state"], delivery["last_status"]) == ("pending", None)
        await _hurry(served)  # the lease is over
        async with _sending(served):
            first, again = await receiver.until(2)
            assert first.headers["webhook-id"] == again.headers["webhook-id"]
            assert first.body == again.body
            assert (await _settled(served, hook, 2))["state"] == "delivered"


async def test_an_event_is_delivered_though_the_process_died_before_it_was_dispatched(
    database: Database, settings: Settings
) -> None:
    log, webhooks = EventLog(database), Webhooks(database, EventLog(database), settings)
    hook, _ = await webhooks.add("https://hooks.example.org/", ["run.ended"], project=None, by="ada")
    await log.append("run-1", "run.ended")
    assert await webhooks.deliveries() == []
    async with database.pool.connection() as conn:
        await feed.number(conn, None)  # as any process that follows the log does
    for _ in range(2):
        while await dispatching.dispatch(database):
            pass
    made = await webhooks.deliveries(hook.id)
    assert [(one.topic, one.state) for one in made] == [("run.ended", "pending")]


async def test_what_was_forgotten_is_neither_sent_nor_kept(open_served: OpenServed) -> None:
    async with open_served(webhook_allow=LOCAL) as served, receiving() as receiver:
        hook, _ = await _add(served, receiver.url, "approval.wanted")
        log = served.factory.events
        await log.append(
            await _run(served), "approval.requested", {"kind": "review", "question": "Ada Secret?"}
        )
        async with served.factory.db.pool.connection() as conn:
            await feed.number(conn, None)
        while await dispatching.dispatch(served.factory.db):
            pass
        (delivery,) = await _deliveries(served, hook)
        assert delivery["message"]["data"]["payload"]["question"] == "Ada Secret?"
        await forget_phrase(served.factory.db, "Ada Secret", why="asked", by="ada")
        async with _sending(served):
            (got,) = await receiver.until(1)
        assert "Ada Secret" not in got.body.decode()
        assert "Ada Secret" not in repr(await _deliveries(served, hook))


async def test_a_refused_url_is_a_problem_document_and_adds_nothing(open_served: OpenServed) -> None:
    async with open_served() as served:
        answer = await served.http.post(
            "/api/v1/webhooks", json={"url": "http://169.254.169.254/", "events": ["run.ended"]}
        )
        assert (answer.status_code, answer.json()["type"]) == (422, "urn:factory:url-refused")
        assert (await served.http.get("/api/v1/webhooks")).json()["items"] == []


async def test_a_name_that_leads_inside_after_it_was_added_is_sent_nothing(open_served: OpenServed) -> None:
    async with open_served() as served, receiving() as receiver, _sending(served):
        hook, _ = await _add(served, f"https://localhost:{receiver.port}/")
        await served.factory.events.append(await _run(served), "run.ended")
        delivery = await _settled(served, hook, 1)
        assert "not on the public Internet" in delivery["last_error"]
        assert receiver.received == []


async def test_only_the_certificate_of_the_name_is_taken(open_served: OpenServed, tmp_path: Path) -> None:
    right, trusts_right = certificate(tmp_path, "localhost")
    wrong, trusts_wrong = certificate(tmp_path, "elsewhere.example.org")
    cases: list[tuple[ssl.SSLContext, ssl.SSLContext, bool]] = [
        (right, trusts_right, True),
        (wrong, trusts_wrong, False),  # trusted, but somebody else's
        (right, ssl.create_default_context(), False),  # nobody vouches for it
    ]
    async with open_served(webhook_allow=["localhost"]) as served:
        for shows, trusts, fine in cases:
            async with receiving(shows) as receiver, _sending(served, tls=trusts):
                hook, _ = await _add(served, f"https://localhost:{receiver.port}/")
                await served.factory.events.append(await _run(served), "run.ended")
                delivery = await _settled(served, hook, 1)
                assert (delivery["state"] == "delivered") is fine, delivery
                assert len(receiver.received) == fine
                if not fine:
                    assert "certificate" in delivery["last_error"].lower()
                await served.http.delete(f"/api/v1/webhooks/{hook}")


async def test_a_secret_opens_for_its_webhook_and_with_its_key_only(tmp_path: Path) -> None:
    sealer, other = Sealer.of(Settings(home=tmp_path / "a")), Sealer.of(Settings(home=tmp_path / "b"))
    sealed = sealer.seal("whsec_x", "hook-1")
    assert Sealer.of(Settings(home=tmp_path / "a")).open(sealed, "hook-1") == "whsec_x"
    for wrong, owner in ((other, "hook-1"), (sealer, "hook-2")):
        with pytest.raises(SecretSealed):
            wrong.open(sealed, owner)


async def test_only_who_configures_sees_or_changes_webhooks(open_served: OpenServed) -> None:
    async with open_served() as served:
        accounts = served.service.access
        user = await accounts.users.add("ada", "operator", password=None, by="owner")
        token = (await accounts.tokens.issue(user, "t", by="owner"))[1]
        headers = {"Authorization": f"Bearer {token}"}
        assert (await served.http.get("/api/v1/webhooks", headers=headers)).status_code == 403
