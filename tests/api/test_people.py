"""Users, API tokens and sign-ins over HTTP."""

from __future__ import annotations

from typing import Any

import httpx

from tests.api.conftest import OpenServed, Served

PASSWORD = "a lamp beside the river"


async def made(served: Served, path: str, given: dict[str, Any]) -> dict[str, Any]:
    """What the owner made."""
    answer = await served.http.post(path, json=given)
    assert answer.status_code == 201, answer.text
    return answer.json()


def bearing(token: str) -> dict[str, str]:
    """The headers of somebody else."""
    return {"Authorization": f"Bearer {token}"}


async def test_a_user_is_added_signs_in_refreshes_and_signs_out(open_served: OpenServed) -> None:
    async with open_served() as served, httpx.AsyncClient(base_url=served.url, timeout=60) as http:
        user = await made(served, "/api/v1/users", {"name": "ada", "role": "hr", "password": PASSWORD})
        assert (user["role"], user["signs_in"], user["created_by"]) == ("hr", True, "owner")
        assert "password" not in user
        again = await served.http.post("/api/v1/users", json={"name": "ada", "role": "hr"})
        assert (again.status_code, again.json()["type"]) == (409, "urn:factory:user-exists")
        refused = await http.post("/api/v1/sessions", json={"name": "ada", "password": "wrong" * 4})
        assert (refused.status_code, refused.json()["type"]) == (401, "urn:factory:sign-in-refused")
        signed = (await http.post("/api/v1/sessions", json={"name": "ada", "password": PASSWORD})).json()
        fresh = await http.post("/api/v1/sessions/refresh", json={"refresh_token": signed["refresh_token"]})
        token = bearing(fresh.json()["access_token"])
        assert (await http.get("/api/v1/users", headers=token)).json()["items"] == [user]
        assert (await http.delete("/api/v1/sessions/current", headers=token)).status_code == 204
        assert (await http.get("/api/v1/users", headers=token)).status_code == 401


async def test_tokens_are_listed_without_secrets_and_revoked(open_served: OpenServed) -> None:
    async with open_served() as served:
        await made(served, "/api/v1/users", {"name": "ci", "role": "operator"})
        wanted = {"label": "build", "user": "ci", "permissions": ["read"], "days": 3}
        token = await made(served, "/api/v1/tokens", wanted)
        listed = (await served.http.get("/api/v1/tokens", params={"user": "ci"})).json()["items"]
        assert [one["id"] for one in listed] == [token["token"]["id"]]
        assert token["secret"] not in str(listed)
        headers = bearing(token["secret"])
        assert (await served.http.get("/api/v1/runs/run_none", headers=headers)).status_code == 404
        revoked = await served.http.delete(f"/api/v1/tokens/{token['token']['id']}")
        assert revoked.status_code == 204
        refused = await served.http.get("/api/v1/runs/run_none", headers=headers)
        assert (refused.status_code, refused.json()["detail"]) == (401, "The token was revoked")


async def test_nobody_makes_a_token_in_a_persons_name(open_served: OpenServed) -> None:
    async with open_served() as served:
        await made(served, "/api/v1/users", {"name": "ada", "role": "operator", "password": PASSWORD})
        await made(served, "/api/v1/users", {"name": "ci", "role": "operator"})
        refused = await served.http.post("/api/v1/tokens", json={"label": "x", "user": "ada"})
        assert refused.status_code == 403
        signed = await made(served, "/api/v1/sessions", {"name": "ada", "password": PASSWORD})
        ada = bearing(signed["access_token"])
        mine = await served.http.post("/api/v1/tokens", json={"label": "laptop"}, headers=ada)
        assert mine.json()["token"]["user"] == "ada"
        for path in ("/api/v1/tokens?user=ci", "/api/v1/users"):
            assert (await served.http.get(path, headers=ada)).status_code == 403
        other = await served.http.post("/api/v1/tokens", json={"label": "x", "user": "ci"}, headers=ada)
        assert other.status_code == 403


async def test_a_token_of_one_project_opens_no_other(open_served: OpenServed) -> None:
    async with open_served() as served:
        submit = served.factory.submit
        here = await submit("A page about ferns", pipeline="one", project="ferns")
        there = await submit("A page about mosses", pipeline="one", project="mosses")
        await made(served, "/api/v1/users", {"name": "ci", "role": "operator"})
        wanted = {"label": "ferns", "user": "ci", "projects": ["ferns"]}
        headers = bearing((await made(served, "/api/v1/tokens", wanted))["secret"])
        seen = [await served.http.get(f"/api/v1/runs/{run}", headers=headers) for run in (here, there, "no")]
        assert [one.status_code for one in seen] == [200, 403, 403]
        for project in ("mosses", None):
            sent = {"requirement": "A page", "pipeline": "one", "project": project}
            refused = await served.http.post("/api/v1/runs", json=sent, headers=headers)
            assert refused.status_code == 403
            assert refused.json()["detail"] == "This token is bound to projects: ferns"
        assert (await served.http.get("/api/v1/tokens", headers=headers)).status_code == 403
