"""A purge over HTTP: by who may, confirmed, after the run's date."""

from __future__ import annotations

from tests.api.conftest import OpenServed
from tests.api.waiting import submitted


async def test_a_run_is_purged_once_its_date_has_come_and_it_was_meant(open_served: OpenServed) -> None:
    async with open_served(retention_days=0, jobs=0) as served:
        run_id = await submitted(served)
        await served.http.post(f"/api/v1/runs/{run_id}/cancel")
        url = f"/api/v1/runs/{run_id}"
        kept = (await served.http.get(f"{url}/record")).json()
        assert (kept["purged"], kept["kept_until"]) == (False, kept["ended_at"])

        unmeant = await served.http.post(f"{url}/purge", json={"confirm": "yes"})
        assert (unmeant.status_code, unmeant.json()["type"]) == (422, "urn:factory:not-confirmed")
        assert (await served.http.get(f"{url}/record")).json() == kept

        done = await served.http.post(f"{url}/purge", json={"confirm": run_id, "reason": "it is old"})
        assert done.status_code == 200, done.text
        assert done.json()["texts"] > 0
        now = (await served.http.get(f"{url}/record")).json()
        assert (now["purged"], now["requirement"]) == (True, "[forgotten]")
        again = await served.http.post(f"{url}/retry")
        assert (again.status_code, again.json()["type"]) == (409, "urn:factory:run-purged")
        verified = (await served.http.get("/api/v1/audit/verification", params={"run": run_id})).json()
        assert verified["ok"] is True
