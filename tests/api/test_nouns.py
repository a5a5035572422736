"""Memory, models, costs, budgets and the audit over HTTP."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.api.conftest import OpenServed, Served
from tests.api.waiting import ASKING, asked, ended, submitted

V1 = "/api/v1"


async def _project(served: Served, name: str = "library") -> str:
    assert (await served.http.post(f"{V1}/projects", json={"name": name})).status_code == 201
    return f"{V1}/projects/{name}"


async def test_what_a_person_tells_a_team_is_kept_found_and_forgotten(open_served: OpenServed) -> None:
    async with open_served() as served:
        project = await _project(served)
        said = {"text": "Every page has a print stylesheet with wide margins", "team": "scout"}
        key = {"Idempotency-Key": "told"}
        kept = await served.http.post(f"{project}/memories", json=said, headers=key)
        again = await served.http.post(f"{project}/memories", json=said, headers=key)
        assert (kept.status_code, again.json()) == (201, kept.json())
        memory = kept.json()["id"]
        found = (
            await served.http.get(f"{project}/memories/search", params={"query": "print stylesheet"})
        ).json()
        assert [one["id"] for one in found["memories"]] == [memory]
        listed = (await served.http.get(f"{project}/banks/scout/memories")).json()
        assert [one["id"] for one in listed["items"]] == [memory]
        assert (await served.http.get(f"{project}/banks")).json()["banks"][0]["live"] == 1
        shared = await served.http.post(f"{V1}/memories/m{memory}/promote")
        assert (shared.status_code, shared.json()["outcome"]) == (200, "new")
        told = (await served.http.get(f"{V1}/memories", params={"phrase": "print stylesheet"})).json()
        assert {one["memory"] for one in told["origins"]} >= {memory}
        gone = await served.http.post(f"{V1}/memories/{memory}/forget", json={"reason": "wrong"})
        assert memory in gone.json()["forgotten"]
        shown = (await served.http.get(f"{V1}/memories/{memory}")).json()
        assert (shown["text"], shown["forgotten_at"] is None) == ("", False)
        twice = await served.http.post(f"{V1}/memories/{memory}/forget", json={})
        assert twice.json()["forgotten"] == []


async def test_memories_that_cannot_be_are_refused(open_served: OpenServed) -> None:
    async with open_served() as served:
        project = await _project(served)
        for said, status in (
            ({"text": " ", "team": "scout"}, 422),
            ({"text": "x"}, 422),
            ({"text": "x", "team": "scout", "shared": True}, 422),
            ({"text": "x", "team": "nobody"}, 404),
            ({"text": "x", "team": "scout", "kind": "experience"}, 422),
        ):
            assert (await served.http.post(f"{project}/memories", json=said)).status_code == status, said
        for name in ("x", "m", "0", "99999999999999999999", "-1", "%00"):
            assert (await served.http.get(f"{V1}/memories/{name}")).status_code in (404, 422), name
        assert (await served.http.get(f"{V1}/projects/none/banks")).status_code == 404


async def test_a_page_is_edited_by_who_saw_its_newest_version(open_served: OpenServed) -> None:
    async with open_served() as served:
        path = f"{await _project(served)}/mental-models/scout"
        empty = await served.http.get(path)
        assert empty.json()["version"] == 0
        read = {"If-Match": empty.headers["etag"]}
        first = await served.http.put(path, json={"text": "- Margins are wide"}, headers=read)
        assert (first.status_code, first.json()["version"]) == (200, 1)
        late = await served.http.put(path, json={"text": "- Margins are narrow"}, headers=read)
        assert (late.status_code, late.json()["type"]) == (412, "urn:factory:changed")
        old = await served.http.put(path, json={"text": "- Margins are narrow", "based_on": 0})
        assert (old.status_code, old.json()["type"]) == (412, "urn:factory:page-moved")
        diff = (await served.http.get(f"{path}/versions/1/diff")).json()
        assert "+- Margins are wide" in diff["diff"]
        assert len((await served.http.get(f"{path}/versions")).json()["pages"]) == 1
        assert (await served.http.get(f"{path}/versions/2/diff")).status_code == 404


async def test_models_are_listed_without_a_key(
    open_served: OpenServed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLOUD_KEY", "a-key-that-nobody-may-see")
    models = tmp_path / "models.toml"
    models.write_text(
        '[accounts.cloud]\nprovider = "openai"\nkey_env = "CLOUD_KEY"\nmodels = ["gpt-5"]\n'
        '[accounts.other]\nprovider = "openai"\nkey_env = "NO_KEY"\nmodels = ["gpt-5"]\n'
        '[pools.cloud]\naccounts = ["cloud", "other"]\n'
    )
    async with open_served(models_file=models) as served:
        answers = [
            await served.http.get(f"{V1}/models"),
            await served.http.get(f"{V1}/accounts"),
            await served.http.get(f"{V1}/models/why", params={"name": "scout"}),
        ]
        assert {answer.status_code for answer in answers} == {200}
        assert not any("a-key-that-nobody-may-see" in answer.text for answer in answers)
        told, accounts, why = (answer.json() for answer in answers)
        assert [one["account"] for one in accounts["items"]] == ["cloud"]
        assert "NO_KEY" in told["unusable"]["other"]
        assert why["chain"]
        unknown = await served.http.get(f"{V1}/models/why", params={"name": "factory/none"})
        assert unknown.status_code == 422


async def test_costs_are_summed_up_as_json_and_csv(open_served: OpenServed) -> None:
    async with open_served() as served:
        run_id = await submitted(served)
        await ended(served, run_id)
        told = (await served.http.get(f"{V1}/costs", params={"run": run_id})).json()
        assert [row["name"] for row in told["rows"]] == ["scout"] or told["rows"]
        assert told["total"]["calls"] == sum(row["calls"] for row in told["rows"]) > 0
        csv = await served.http.get(f"{V1}/costs", params={"by": "model", "format": "csv"})
        assert csv.headers["content-type"].startswith("text/csv")
        assert csv.text.splitlines()[0].startswith("model,calls,failed")
        assert csv.text.splitlines()[-1].startswith("total,")
        for wrong in ({"by": "mood"}, {"since": "yesterday"}, {"run": "run-x"}):
            assert (await served.http.get(f"{V1}/costs", params=wrong)).status_code in (404, 422)


async def test_a_budget_is_shown_and_extended_once(open_served: OpenServed) -> None:
    async with open_served() as served:
        run_id = await submitted(served, ASKING | {"budget_usd": "5"})
        await asked(served, run_id)
        listed = (await served.http.get(f"{V1}/budgets", params={"run": run_id})).json()["items"]
        assert [(one["id"], one["cap_usd"]) for one in listed] == [(f"run:{run_id}", "5")]
        key = {"Idempotency-Key": "more"}
        for _ in range(2):
            more = await served.http.post(
                f"{V1}/extensions/run:{run_id}", json={"amount_usd": "2.50"}, headers=key
            )
            assert (more.status_code, more.json()["cap_usd"], more.json()["extensions"]) == (200, "7.50", 1)
        shown = await served.http.get(f"{V1}/budgets/run:{run_id}")
        assert shown.json() == more.json()
        tag = {"If-Match": '"old"'}
        stale = await served.http.post(f"{V1}/extensions/run:{run_id}", json={"amount_usd": "1"}, headers=tag)
        assert stale.status_code == 412
        for amount in ("0", "-1", "1e9", "lots", ""):
            refused = await served.http.post(f"{V1}/extensions/run:{run_id}", json={"amount_usd": amount})
            assert refused.status_code == 422, amount
        assert (await served.http.get(f"{V1}/budgets/run:none")).status_code == 404


async def test_the_audit_is_searched_verified_exported_and_fixed(open_served: OpenServed) -> None:
    async with open_served() as served:
        run_id = await submitted(served)
        await ended(served, run_id)
        found = (await served.http.get(f"{V1}/audit/search", params={"phrase": "about ferns"})).json()
        assert {hit["run_id"] for hit in found["hits"]} == {run_id}
        verified = (await served.http.get(f"{V1}/audit/verification")).json()
        assert (verified["ok"], verified["runs"], verified["broken"]) == (True, 1, None)
        fixed = await served.http.post(f"{V1}/audit/checkpoint")
        assert json.loads(fixed.text)["runs"][0][0] == run_id
        against = await served.http.post(f"{V1}/audit/verification", content=fixed.content)
        assert (against.json()["ok"], against.json()["against"]) == (True, 1)
        forged = await served.http.post(
            f"{V1}/audit/verification", content=fixed.content.replace(b'"root": "', b'"root": "0')
        )
        assert (forged.status_code, forged.json()["type"]) == (422, "urn:factory:checkpoint-invalid")
        lines = (await served.http.get(f"{V1}/audit/export", params={"run": run_id})).text.splitlines()
        assert json.loads(lines[-1]) == {"end": 1}
        assert (await served.http.get(f"{V1}/audit/export", params={"run": "run-x"})).status_code == 404


@pytest.mark.parametrize("verb", ["cancel", "pause"])
async def test_a_run_is_cancelled_and_paused(open_served: OpenServed, verb: str) -> None:
    async with open_served() as served:
        run_id = await submitted(served, ASKING)
        await asked(served, run_id)
        done = await served.http.post(f"{V1}/runs/{run_id}/{verb}", json={"reason": "not now"})
        assert done.status_code == 202, done.text
        status = (await served.http.get(f"{V1}/runs/{run_id}")).json()["status"]
        assert status == ("cancelled" if verb == "cancel" else "paused")
        again = await served.http.post(f"{V1}/runs/{run_id}/{verb}")
        assert again.status_code == (409 if verb == "cancel" else 202)
        resumed = await served.http.post(f"{V1}/runs/{run_id}/resume")
        assert resumed.status_code == (409 if verb == "cancel" else 202)


async def test_a_token_of_one_project_sees_no_other(open_served: OpenServed) -> None:
    async with open_served() as served:
        accounts = served.service.access
        user = await accounts.users.add("bot", "director", password=None, by="owner")
        mine = await submitted(served, ASKING | {"project": "mine"})
        other = await submitted(served, ASKING | {"project": "other"})
        approvals = [await asked(served, mine), await asked(served, other)]
        _, secret = await accounts.tokens.issue(user, "test", by="owner", projects=["mine"])
        served.http.headers["Authorization"] = f"Bearer {secret}"
        get = served.http.get
        assert [one["run_id"] for one in (await get(f"{V1}/runs")).json()["items"]] == [mine]
        assert [one["name"] for one in (await get(f"{V1}/projects")).json()["items"]] == ["mine"]
        assert [one["run_id"] for one in (await get(f"{V1}/approvals")).json()["items"]] == [mine]
        for path in (
            f"/runs/{other}", "/runs/last", f"/runs/{other}/events", f"/runs/{other}/artifacts",
            f"/approvals/{approvals[1]}", "/projects/other", "/projects/other/settings",
            "/runs?project=other",
            "/projects/other/banks", "/costs", "/costs?project=other", f"/costs?run={other}",
            f"/budgets/run:{other}", "/audit/verification", "/memories?phrase=ferns", "/memories/1",
        ):  # fmt: skip
            assert (await get(f"{V1}{path}")).status_code in (403, 404), path
        for path, body in (
            (f"/runs/{other}/cancel", {}),
            ("/runs", {"requirement": "x", "project": "other"}),
            ("/runs", {"requirement": "x"}),
            ("/changes", {"target": other, "text": "x"}),
            ("/projects", {"name": "third"}),
            (f"/approvals/{approvals[1]}/decision", {"decision": "approve"}),
        ):
            assert (await served.http.post(f"{V1}{path}", json=body)).status_code == 403, path
        assert (await get(f"{V1}/runs/{mine}")).status_code == 200
