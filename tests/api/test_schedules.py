"""Schedules over HTTP."""

from __future__ import annotations

from typing import Any

from core.events import SERVICE
from tests.api.conftest import OpenServed, Served
from tests.api.waiting import ASKING

PATH = "/api/v1/schedules"


async def project(served: Served, name: str) -> None:
    """A project, of a run that nobody drives here."""
    made = await served.http.post("/api/v1/runs", json=ASKING | {"project": name})
    assert made.status_code == 201, made.text


async def bearing(served: Served, role: str, **scopes: Any) -> dict[str, str]:
    """What a program of that role sends along."""
    await served.http.post("/api/v1/users", json={"name": f"the-{role}", "role": role})
    wanted = {"label": "test", "user": f"the-{role}", **scopes}
    made = await served.http.post("/api/v1/tokens", json=wanted)
    assert made.status_code == 201, made.text
    return {"Authorization": f"Bearer {made.json()['secret']}"}


async def test_a_schedule_is_made_once_listed_paused_and_taken_away(open_served: OpenServed) -> None:
    async with open_served(jobs=0) as served:
        await project(served, "library")
        wanted = {
            "project": "library",
            "requirement": "Update what is out of date",
            "pipeline": "one",
            "cron": "0 6 * * 1-5",
            "timezone": "Europe/Berlin",
            "budget_usd": "0.50",
        }
        key = {"Idempotency-Key": "a"}
        made = await served.http.post(PATH, json=wanted, headers=key)
        assert made.status_code == 201, made.text
        assert (await served.http.post(PATH, json=wanted, headers=key)).json() == made.json()
        schedule = made.json()
        assert wanted.items() <= schedule.items()
        assert (schedule["created_by"], schedule["paused_at"]) == ("owner", None)
        assert (await served.http.get(PATH)).json() == {"items": [schedule], "next": None}
        assert (await served.http.get(PATH, params={"project": "other"})).json()["items"] == []

        one = f"{PATH}/{schedule['id']}"
        paused = (await served.http.post(f"{one}/pause")).json()
        assert paused["paused_by"] == "owner"
        assert (await served.http.post(f"{one}/pause")).json() == paused
        assert (await served.http.post(f"{one}/resume")).json()["paused_at"] is None
        assert (await served.http.delete(one)).status_code == 204
        assert (await served.http.get(one)).status_code == 404
        assert (await served.http.delete(one)).status_code == 404
        told = [event for event in await served.factory.events.read(SERVICE) if "schedule" in event.kind]
        assert [event.kind for event in told] == [
            "schedule.added",
            "schedule.paused",
            "schedule.resumed",
            "schedule.removed",
        ]
        assert {event.payload["by"] for event in told} == {"owner"}


async def test_a_schedule_that_cannot_be_is_refused(open_served: OpenServed) -> None:
    async with open_served(jobs=0) as served:
        await project(served, "library")
        good = {"project": "library", "requirement": "Update it", "pipeline": "one", "seconds": 3600}
        for wrong in (
            {"cron": "0 6 * * *"},  # both
            {"seconds": None},  # neither
            {"seconds": 1},
            {"seconds": None, "cron": "every day"},
            {"seconds": None, "cron": "0 0 30 2 *"},
            {"seconds": None, "cron": "0 6 * * *", "timezone": "Mars/Olympus"},
            {"seconds": None, "cron": "0 6 * * *", "timezone": "../../etc/passwd"},
            {"requirement": "  "},
            {"budget_usd": "much"},
            {"pipeline": "none-such"},
            {"unknown": 1},
        ):
            refused = await served.http.post(PATH, json=good | wrong)
            assert refused.status_code == 422, (wrong, refused.text)
        assert (await served.http.post(PATH, json=good | {"project": "none"})).status_code == 404
        assert (await served.http.get(PATH)).json()["items"] == []


async def test_a_token_bound_to_a_project_reaches_its_schedules_alone(
    open_served: OpenServed,
) -> None:
    async with open_served(jobs=0) as served:
        await project(served, "library")
        await project(served, "shop")
        good = {"project": "library", "requirement": "Update it", "pipeline": "one", "seconds": 3600}
        schedule = (await served.http.post(PATH, json=good)).json()["id"]
        operator = await bearing(served, "operator")
        assert (await served.http.get(f"{PATH}/{schedule}", headers=operator)).status_code == 200
        for answer in (
            await served.http.post(PATH, json=good, headers=operator),
            await served.http.delete(f"{PATH}/{schedule}", headers=operator),
            await served.http.post(f"{PATH}/{schedule}/pause", headers=operator),
        ):
            assert answer.status_code == 403
        bound = await bearing(served, "director", projects=["shop"])
        assert (await served.http.get(PATH, headers=bound)).json()["items"] == []
        for answer in (
            await served.http.post(PATH, json=good, headers=bound),
            await served.http.get(f"{PATH}/{schedule}", headers=bound),
            await served.http.delete(f"{PATH}/{schedule}", headers=bound),
        ):
            assert answer.status_code == 403
        assert (
            await served.http.post(PATH, json=good | {"project": "shop"}, headers=bound)
        ).status_code == 201
