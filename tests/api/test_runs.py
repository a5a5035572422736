"""Runs over HTTP."""

from __future__ import annotations

import httpx

from tests.api.conftest import OpenServed
from tests.api.waiting import ASKING, ONE, asked, ended, submitted


async def test_a_requirement_becomes_a_run_that_is_driven(open_served: OpenServed) -> None:
    async with open_served() as served:
        sent = {"requirement": "A page about ferns", "pipeline": "one", "approve_all": True}
        created = await served.http.post("/api/v1/runs", json=sent)
        assert created.status_code == 201, created.text
        run_id = created.json()["run_id"]
        async for event in served.factory.follow(run_id):
            if event.kind == "run.ended":
                break
        shown = (await served.http.get(f"/api/v1/runs/{run_id}")).json()
        assert shown["status"] == "completed"


async def test_a_run_that_is_not_there_is_a_problem_document(open_served: OpenServed) -> None:
    async with open_served() as served:
        answer = await served.http.get("/api/v1/runs/run_none")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == "urn:factory:not-found"


async def test_nobody_comes_in_without_the_token(open_served: OpenServed) -> None:
    async with open_served() as served, httpx.AsyncClient(base_url=served.url, timeout=60) as stranger:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"X-Api-Key": "wrong"}):
            answer = await stranger.get("/api/v1/runs/run_none", headers=headers)
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"] == "Bearer"
        assert (await stranger.get("/health")).json() == {"status": "ok"}


async def test_runs_are_listed_in_pages_that_nothing_falls_between(open_served: OpenServed) -> None:
    async with open_served() as served:
        made = [await submitted(served, ASKING) for _ in range(3)]
        first = (await served.http.get("/api/v1/runs", params={"limit": 2})).json()
        later = await submitted(served, ASKING)
        second = (await served.http.get("/api/v1/runs", params={"limit": 2, "after": first["next"]})).json()
        listed = [run["run_id"] for run in first["items"] + second["items"]]
        assert listed == [*reversed(made)]
        assert second["next"] is None
        newest = (await served.http.get("/api/v1/runs/last")).json()
        assert newest["run_id"] == later


async def test_runs_are_filtered(open_served: OpenServed) -> None:
    async with open_served() as served:
        done, waits = await submitted(served), await submitted(served, ASKING | {"project": "mosses"})
        await ended(served, done)
        await asked(served, waits)
        for filters, expected in (
            ({"status": "completed"}, [done]),
            ({"status": ["completed", "awaiting_input"]}, [waits, done]),
            ({"project": "mosses"}, [waits]),
            ({"pipeline": "full"}, []),
        ):
            listed = (await served.http.get("/api/v1/runs", params=filters)).json()["items"]
            assert [run["run_id"] for run in listed] == expected


async def test_a_wrong_cursor_is_refused(open_served: OpenServed) -> None:
    async with open_served() as served:
        for _ in range(2):
            await submitted(served, ASKING)
        page = (await served.http.get("/api/v1/runs", params={"limit": 1})).json()
        for params in (
            {"after": "x"},
            {"after": page["next"][:-2]},
            {"after": page["next"], "project": "other"},
            {"limit": 0},
            {"limit": 201},
        ):
            assert (await served.http.get("/api/v1/runs", params=params)).status_code == 422
        other = await served.http.get("/api/v1/approvals", params={"after": page["next"]})
        assert other.json()["type"] == "urn:factory:cursor-invalid"


async def test_a_copy_that_is_still_right_is_not_sent_again(open_served: OpenServed) -> None:
    async with open_served() as served:
        run_id = await submitted(served)
        await ended(served, run_id)
        path = f"/api/v1/runs/{run_id}"
        tag = (await served.http.get(path)).headers["etag"]
        for given in (tag, f'"other", {tag}', f"W/{tag}", "*"):
            same = await served.http.get(path, headers={"If-None-Match": given})
            assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", tag)
        assert (await served.http.get(path, headers={"If-None-Match": '"other"'})).status_code == 200


async def test_a_run_that_has_ended_is_not_resumed_but_retried(open_served: OpenServed) -> None:
    async with open_served() as served:
        run_id = await submitted(served)
        await ended(served, run_id)
        refused = await served.http.post(f"/api/v1/runs/{run_id}/resume")
        assert (refused.status_code, refused.json()["type"]) == (409, "urn:factory:run-over")
        again = await served.http.post(f"/api/v1/runs/{run_id}/retry")
        assert again.status_code == 201
        await ended(served, again.json()["run_id"])
        records = [
            (await served.http.get(f"/api/v1/runs/{one}/record")).json()
            for one in (run_id, again.json()["run_id"])
        ]
        assert records[0]["requirement"] == records[1]["requirement"] == ONE["requirement"]


async def test_a_run_says_who_submitted_it_on_every_surface(open_served: OpenServed) -> None:
    async with open_served() as served:
        await served.http.post("/api/v1/users", json={"name": "ada", "role": "operator"})
        made = await served.http.post("/api/v1/tokens", json={"label": "hers", "user": "ada"})
        await submitted(served, ASKING)
        hers = {"Authorization": f"Bearer {made.json()['secret']}"}
        again = await served.http.post("/api/v1/runs", json=ASKING, headers=hers)
        listed = (await served.http.get("/api/v1/runs")).json()["items"]
        assert [run["by"] for run in listed] == ["ada", "owner"]
        record = (await served.http.get(f"/api/v1/runs/{again.json()['run_id']}/record")).json()
        (created,) = await served.factory.events.read(again.json()["run_id"], kinds=["run.created"])
        assert record["by"] == created.payload["by"] == "ada"


async def test_a_run_is_rolled_back_and_goes_on(open_served: OpenServed) -> None:
    async with open_served() as served:
        run_id = await submitted(served)
        await ended(served, run_id)
        key = {"Idempotency-Key": "back"}
        back = await served.http.post(f"/api/v1/runs/{run_id}/rollback", json={"stage": "plan"}, headers=key)
        assert (back.status_code, back.json()["status"]) == (200, "in_progress")
        unknown = await served.http.post(f"/api/v1/runs/{run_id}/rollback", json={"stage": "nobody"})
        assert unknown.status_code == 409
        assert (await served.http.post(f"/api/v1/runs/{run_id}/resume")).status_code == 202
        await ended(served, run_id)


async def test_a_finished_run_is_changed(open_served: OpenServed) -> None:
    async with open_served() as served:
        run_id = await submitted(served)
        await ended(served, run_id)
        wanted = {"target": run_id, "text": "The page has a picture", "approve_all": True}
        made = await served.http.post("/api/v1/changes", json=wanted)
        assert made.status_code == 201, made.text
        record = (await served.http.get(f"/api/v1/runs/{made.json()['run_id']}/record")).json()
        assert record["changes"] == run_id


async def test_requirements_that_are_none_are_refused(open_served: OpenServed) -> None:
    async with open_served() as served:
        for wanted in (
            {"requirement": ""},
            {"requirement": "\x00"},
            {"requirement": "x" * 1_000_000},
            {"requirement": "A page", "project": "No Name!"},
            {"requirement": "A page", "pipeline": "none"},
            {"requirement": "A page", "budget_usd": "much"},
            {"requirement": "A page", "budget_usd": 7},
            {"requirement": "A page", "colour": "green"},
            {"requirement": ["A page"]},
            {},
            None,
        ):
            answer = await served.http.post("/api/v1/runs", json=wanted)
            assert answer.status_code == 422, (wanted, answer.text)
        for body in (b"{", b"\xff", b'{"requirement": "\\ud800 page"}', b"[" * 100_000):
            answer = await served.http.post(
                "/api/v1/runs", content=body, headers={"Content-Type": "application/json"}
            )
            assert answer.status_code in (400, 422), body[:20]
        assert (await served.http.get("/api/v1/runs")).json()["items"] == []


async def test_a_requirement_in_any_script_is_taken_as_it_is(open_served: OpenServed) -> None:
    async with open_served() as served:
        text = "Eine Seite \u00fcber Farne \U0001f33f \u2014 \u4e2d\u6587"
        run_id = await submitted(served, ASKING | {"requirement": text})
        record = (await served.http.get(f"/api/v1/runs/{run_id}/record")).json()
        assert record["requirement"] == text


async def test_the_log_is_read_in_pages_and_by_kind(open_served: OpenServed) -> None:
    async with open_served() as served:
        run_id = await submitted(served)
        await ended(served, run_id)
        seqs: list[int] = []
        after = None
        while True:
            params = {"limit": 7} | ({"after": after} if after else {})
            page = (await served.http.get(f"/api/v1/runs/{run_id}/events", params=params)).json()
            seqs += [event["seq"] for event in page["items"]]
            if (after := page["next"]) is None:
                break
        assert seqs == list(range(1, len(seqs) + 1))
        kinds = {"kind": ["run.created", "run.ended"]}
        few = (await served.http.get(f"/api/v1/runs/{run_id}/events", params=kinds)).json()["items"]
        assert [event["kind"] for event in few] == ["run.created", "run.ended"]


async def test_a_stage_shows_its_brief_its_result_and_its_files(open_served: OpenServed) -> None:
    async with open_served() as served:
        run_id = await submitted(served)
        await ended(served, run_id)
        [row] = (await served.http.get(f"/api/v1/runs/{run_id}/stages")).json()["stages"]
        assert (row["team"], row["state"], row["verdict"]) == ("scout", "done", "pass")
        work = (await served.http.get(f"/api/v1/runs/{run_id}/stages/scout")).json()
        assert work["stage"] == row
        assert "ferns" in work["brief"]["text"]
        assert work["result"]["status"] == "COMPLETE"
        assert work["files"]
        assert (await served.http.get(f"/api/v1/runs/{run_id}/stages/nobody")).status_code == 404


async def test_the_teams_are_listed_in_the_order_of_the_pipeline(open_served: OpenServed) -> None:
    async with open_served() as served:
        told = (await served.http.get("/api/v1/teams")).json()
        assert told["pack"] == "small"
        assert told["teams"][0]["id"] == "scout"
        shown = (await served.http.get("/api/v1/teams/scout")).json()
        assert {name: shown[name] for name in told["teams"][0]} == told["teams"][0]
