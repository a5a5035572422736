"""The webhook that a run names is told of its end: signed, again until it arrives, nowhere it may not go."""

from __future__ import annotations

from datetime import timedelta

import pytest

from api.protocol import tending
from core import clock
from tests.api.protocol.conftest import OpenProtocol
from tests.api.test_webhooks import LOCAL, _add, _hurry, _sending, _settled  # pyright: ignore[reportPrivateUsage]
from tests.doubles.receiver import receiving


async def test_a_runs_webhook_is_told_what_it_left_signed_and_until_it_arrives(
    open_protocol: OpenProtocol,
) -> None:
    async with (
        open_protocol(webhook_allow=LOCAL) as spoken,
        receiving() as receiver,
        _sending(spoken.served),
    ):
        hook, secret = await _add(spoken.served, receiver.url, "protocol.run")
        receiver.answers.append("503 Busy")
        thread_id = (await spoken.client.threads.create())["thread_id"]
        run = await spoken.client.runs.create(thread_id, "slow", input={"steps": []}, webhook=receiver.url)
        assert (await _settled(spoken.served, hook, 1))["last_status"] == 503
        await _hurry(spoken.served)
        first, again = await receiver.until(2)
        assert first.headers["webhook-id"] == again.headers["webhook-id"]
        assert again.is_signed(secret)
        told = again.message
        assert (told["run_id"], told["thread_id"], told["status"]) == (run["run_id"], thread_id, "success")
        assert (told["values"], told["error"]) == ({"steps": ["first", "second"]}, None)
        listed = (await spoken.http.get(f"/api/v1/webhooks/{hook}/deliveries")).json()["items"]
        assert [(one["event"], one["message"]["run_id"]) for one in listed] == [
            ("protocol.run", run["run_id"])
        ]


async def test_a_url_that_nobody_added_is_added_and_a_stateless_thread_waits_for_its_webhook(
    open_protocol: OpenProtocol,
) -> None:
    async with open_protocol(webhook_allow=LOCAL) as spoken, receiving() as receiver:
        for _ in range(2):
            body = {"assistant_id": "broken", "input": {}, "webhook": receiver.url}
            assert (await spoken.http.post("/runs/wait", json=body)).status_code == 200
        hooks = (await spoken.http.get("/api/v1/webhooks")).json()["items"]
        assert [(hook["url"], hook["events"]) for hook in hooks] == [(receiver.url, ["protocol.run"])]
        await tending.sweep(spoken.protocol, clock.now() + timedelta(hours=1))
        async with _sending(spoken.served):
            told = await receiver.until(2)
        assert [one.message["status"] for one in told] == ["error", "error"]
        assert told[0].message["error"]["error"] == "RuntimeError"


@pytest.mark.parametrize(
    "url", ["http://169.254.169.254/latest/meta-data", "https://10.0.0.1/", "http://hooks.example.org", "x"]
)
async def test_a_run_may_not_name_a_webhook_inside(open_protocol: OpenProtocol, url: str) -> None:
    async with open_protocol() as spoken:
        for assistant in ("slow", "factory-one"):
            body = {"assistant_id": assistant, "input": {"requirement": "x"}, "webhook": url}
            got = await spoken.http.post("/runs", json=body)
            assert (got.status_code, got.json()["type"]) == (422, "urn:factory:url-refused")
        assert await spoken.served.factory.runs() == []
