"""`/ready` and `/metrics`: what those who run the service ask it."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.api.conftest import OpenServed, Served
from tests.intruder import Admin

RUN = "/api/v1/runs/run_none"


async def looked(served: Served) -> tuple[int, dict[str, str]]:
    """A fresh look."""
    served.app.state.ready._last = None
    answer = await served.http.get("/ready")
    assert answer.json()["ready"] is (answer.status_code == 200)
    return answer.status_code, answer.json()["parts"]


async def scraped(served: Served) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Every sample of a fresh scrape, by name and labels."""
    served.app.state.metrics._looked = float("-inf")
    answer = await served.http.get("/metrics")
    assert answer.status_code == 200
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


async def test_a_service_that_can_work_says_so_to_everybody(open_served: OpenServed) -> None:
    async with open_served() as served, httpx.AsyncClient(base_url=served.url, timeout=60) as stranger:
        answer = await stranger.get("/ready")
        parts = {"database": "ok", "migrations": "ok", "queue": "ok", "models": "ok"}
        assert (answer.status_code, answer.json()) == (200, {"ready": True, "parts": parts})


async def test_each_part_that_does_not_work_is_named(open_served: OpenServed, intruder: Admin) -> None:
    async with open_served(jobs=0) as served:
        await asyncio.to_thread(intruder.execute, "UPDATE factory.alembic_version SET version_num = '0001'")
        status, parts = await looked(served)
        assert (status, parts["database"]) == (503, "ok")
        assert parts["migrations"].startswith("the schema is 0001, this program's ")
        await asyncio.to_thread(
            intruder.execute,
            "INSERT INTO factory.procrastinate_jobs (queue_name, task_name) VALUES ('run', 'run')",
        )
        await asyncio.to_thread(
            intruder.execute, "UPDATE factory.procrastinate_events SET at = now() - interval '1 hour'"
        )
        status, parts = await looked(served)
        assert (status, parts["queue"]) == (503, "1 jobs wait, and no worker gives a sign of life")
        await asyncio.to_thread(intruder.execute, "DELETE FROM factory.procrastinate_jobs")
        await asyncio.to_thread(
            intruder.execute,
            "INSERT INTO factory.schedules (id, project, kind, payload, seconds, next_at, created_by)"
            " VALUES ('one', 'shop', 'run', '{}', 60, now() - interval '1 hour', 'ada')",
        )
        status, parts = await looked(served)
        assert (status, parts["queue"]) == (503, "a schedule is due, and no worker gives a sign of life")
        told = await scraped(served)
        assert told[("factory_schedules", (("state", "active"),))] == 1
        assert told[("factory_schedules_overdue_seconds", ())] > 3_000


async def test_without_the_database_ready_and_metrics_answer(open_served: OpenServed) -> None:
    async with open_served() as served:
        await served.factory.db.pool.close()
        status, parts = await looked(served)
        assert status == 503
        assert parts["database"].startswith("does not answer")
        assert parts["migrations"] == "not known without the database"
        assert (await scraped(served))[("factory_database_up", ())] == 0


async def test_what_happened_and_what_is_can_be_scraped(open_served: OpenServed) -> None:
    async with open_served() as served:
        created = await served.http.post(
            "/api/v1/runs", json={"requirement": "A page about ferns", "pipeline": "one", "approve_all": True}
        )
        run_id = created.json()["run_id"]
        async for event in served.factory.follow(run_id):
            if event.kind == "run.ended":
                break
        await served.http.get(RUN)
        await served.http.get("/nowhere/" + "x" * 100)
        async with asyncio.timeout(20):
            while (found := await scraped(served)).get(
                _of("factory_runs_ended_total", status="completed")
            ) != 1:
                await asyncio.sleep(0.05)
        assert found[_of("factory_runs", status="completed")] == 1
        assert found[("factory_database_up", ())] == 1
        assert 0 < found[("factory_disk_free_ratio", ())] <= 1
        assert sum(v for (name, _), v in found.items() if name == "factory_model_calls_total") >= 1
        assert sum(v for (name, _), v in found.items() if name == "factory_stages_ended_total") >= 1
        missing = _of("factory_http_seconds_count", method="GET", route="/api/v1/runs/{run_id}", status="4xx")
        assert found[missing] == 1
        assert found[_of("factory_http_seconds_count", method="GET", route="other", status="4xx")] == 1
        assert not any(run_id in str(key) or "ferns" in str(key) or "xxx" in str(key) for key in found)


async def test_no_label_is_a_text_that_somebody_gave(open_served: OpenServed) -> None:
    async with open_served() as served:
        metrics = served.app.state.metrics
        for number in range(1_000):
            given: dict[str, Any] = {
                "alias": f"mine-{number}",
                "verdict": f"v{number}",
                "input_tokens": "many",
            }
            for kind in ("model.called", "gate.decided", "stage.ended"):
                metrics.count(_Happened(kind, f"team-{number}", given))
            metrics.answered({"method": f"M{number}", "route": object()}, 200, 0.1)
        found = await scraped(served)
        assert len(found) < 300
        assert found[_of("factory_gates_total", team="other", verdict="other")] == 1_000


async def test_metrics_need_a_token_that_may(open_served: OpenServed) -> None:
    async with open_served() as served:
        accounts = served.service.access
        user = await accounts.users.add("prometheus", "auditor", password=None, by="owner")
        _, secret = await accounts.tokens.issue(user, "scrape", by="owner", permissions=["metrics"])
        headers = {"Authorization": f"Bearer {secret}"}
        assert (await served.http.get("/metrics", headers=headers)).status_code == 200
        assert (await served.http.get(RUN, headers=headers)).status_code == 403
        assert (await served.http.get("/metrics", headers={"Authorization": ""})).status_code == 401


class _Happened:
    def __init__(self, kind: str, team: str, payload: dict[str, Any]) -> None:
        self.kind, self.team, self.payload = kind, team, payload


def _of(name: str, **labels: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    return name, tuple(sorted(labels.items()))


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that is away is not waited for."""
    monkeypatch.setattr("api.operations.ready.PATIENCE", 1.0)
