"""`/metrics`: what Prometheus scrapes.

A label is never a text that somebody gave: it is a status, a kind, a team or an alias of the pack, a route's
template. What happened is counted from the event log as it is written, from this process's start on; what is
now is asked of the database when it is scraped, at most every few seconds.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import psycopg
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from starlette.types import Scope

from api.operations import queries
from api.service import Service
from core import clock, logs
from core.errors import FactoryError
from core.events import Event
from core.tasks import end

FRESH: Final = 5.0
"""Seconds for which a look at the database is good."""
OTHER: Final = "other"
"""The label of what has no name here."""

_COUNTED: Final = ("run.ended", "stage.ended", "gate.decided", "model.called", "model.failed")
_METHODS: Final = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})
_SECONDS: Final = (0.005, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
_KNOWN: Final = frozenset({"pass", "clarify", "retry", "escalate", "fail"})
_AGAIN: Final = 2.0  # seconds, after the feed was lost

disable_created_metrics()  # a second series for each counter, of which nobody asks when it began

logger = logs.get(__name__)


@dataclass
class Metrics:
    """The metrics of one server process; `running` has to be open."""

    service: Service
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    _routes: dict[int, str] = field(default_factory=dict[int, str])
    _looked: float = float("-inf")
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        registry = self.registry
        ProcessCollector(registry=registry)
        self.http = Histogram(
            "factory_http_seconds",
            "Answers, by the template of their route",
            ["method", "route", "status"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.runs_ended = Counter("factory_runs_ended", "Runs that ended", ["status"], registry=registry)
        self.stages = Counter(
            "factory_stages_ended", "Stages that ended", ["team", "verdict"], registry=registry
        )
        self.gates = Counter("factory_gates", "Verdicts of the gate", ["team", "verdict"], registry=registry)
        self.calls = Counter("factory_model_calls", "Model calls", ["alias", "outcome"], registry=registry)
        self.tokens = Counter("factory_model_tokens", "Tokens", ["alias", "direction"], registry=registry)
        self.cost = Counter(
            "factory_model_cost_usd", "US dollars spent on models", ["alias"], registry=registry
        )
        self.runs = Gauge("factory_runs", "Runs by status", ["status"], registry=registry)
        self.approvals = Gauge(
            "factory_approvals_waiting", "Questions to people", ["kind"], registry=registry
        )
        self.oldest_approval = Gauge(
            "factory_approvals_oldest_seconds", "Age of the oldest question to a person", registry=registry
        )
        self.queue = Gauge("factory_queue_jobs", "Jobs in the queue", ["status"], registry=registry)
        self.queue_age = Gauge("factory_queue_oldest_seconds", "Wait of the oldest job", registry=registry)
        self.schedules = Gauge("factory_schedules", "Schedules by state", ["state"], registry=registry)
        self.overdue = Gauge(
            "factory_schedules_overdue_seconds", "Delay of the schedule that is late most", registry=registry
        )
        self.workers = Gauge("factory_workers", "Workers that give signs of life", registry=registry)
        self.database_up = Gauge("factory_database_up", "Whether the database answers", registry=registry)
        self.disk = Gauge("factory_disk_free_ratio", "Free part of the home's disk", registry=registry)
        Gauge("factory_event_readers", "Readers of the event log", registry=registry).set_function(
            lambda: float(self.service.hub.readers)
        )
        for name in ("size", "available", "requests_waiting"):
            gauge = Gauge(f"factory_pool_{name}", "The pool of database connections", registry=registry)
            gauge.set_function(self._of_pool(name))

    def learn(self, app: FastAPI) -> None:
        """Read the templates of the application's routes."""
        for context in iter_route_contexts(app.routes):
            if context.path:
                self._routes[id(context.original_route)] = context.path

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Count what happens for as long as this is open."""
        counting = asyncio.create_task(self._count(), name="metrics")
        try:
            yield
        finally:
            await end(counting)

    def answered(self, scope: Scope, status: int, seconds: float) -> None:
        """Count an answer."""
        route = self._routes.get(id(scope.get("route")), OTHER)
        method = scope["method"] if scope["method"] in _METHODS else OTHER
        self.http.labels(method, route, f"{status // 100}xx" if status else "none").observe(seconds)

    async def scrape(self) -> bytes:
        """All of it, in Prometheus's text format."""
        async with self._turn:
            if clock.monotonic() - self._looked > FRESH:
                await self._look()
                self._looked = clock.monotonic()
            return generate_latest(self.registry)

    async def _look(self) -> None:
        settings = self.service.factory.settings
        usage = await asyncio.to_thread(shutil.disk_usage, settings.home)
        self.disk.set(usage.free / usage.total)
        try:
            async with asyncio.timeout(3), self.service.factory.db.pool.connection(timeout=3) as conn:
                runs = await (await conn.execute(queries.RUNS)).fetchall()
                asked = await (await conn.execute(queries.APPROVALS)).fetchall()
                lease = {"lease": settings.lease_seconds}
                queue = await (await conn.execute(queries.QUEUE, lease)).fetchone()
                schedules = await (await conn.execute(queries.SCHEDULES)).fetchone()
        except (psycopg.Error, FactoryError, TimeoutError):
            self.database_up.set(0)
            return
        self.database_up.set(1)
        _set_all(self.runs, {row["status"]: row["count"] for row in runs})
        _set_all(self.approvals, {row["kind"]: row["count"] for row in asked})
        self.oldest_approval.set(max((row["oldest"] for row in asked), default=0.0))
        if schedules is not None:
            _set_all(self.schedules, {name: schedules[name] for name in ("active", "paused")})
            self.overdue.set(schedules["overdue"] or 0.0)
        if queue is not None:
            _set_all(self.queue, {name: queue[name] for name in ("waiting", "doing", "failed")})
            self.queue_age.set(queue["oldest"] or 0.0)
            self.workers.set(queue["workers"])

    async def _count(self) -> None:
        while True:
            try:
                async for event in self.service.hub.follow(kinds=_COUNTED):
                    self.count(event)
            except FactoryError as lost:
                logger.warning("metrics lost events", error=str(lost))
            await asyncio.sleep(_AGAIN)

    def count(self, event: Event) -> None:
        """Count what happened."""
        payload = event.payload
        alias = self._alias(payload.get("alias"))
        match event.kind:
            case "run.ended":
                self.runs_ended.labels(str(payload.get("status"))[:30]).inc()
            case "stage.ended":
                self.stages.labels(self._team(event.team), _verdict(payload)).inc()
            case "gate.decided":
                self.gates.labels(self._team(event.team), _verdict(payload)).inc()
            case "model.called":
                self.calls.labels(alias, "ok").inc()
                self.tokens.labels(alias, "in").inc(_number(payload.get("input_tokens")))
                self.tokens.labels(alias, "out").inc(_number(payload.get("output_tokens")))
                self.cost.labels(alias).inc(_number(payload.get("cost_usd")))
            case "model.failed":
                self.calls.labels(alias, "failed").inc()
            case _:
                pass

    def _team(self, team: str | None) -> str:
        return team if team is not None and team in self.service.factory.registry.ids else OTHER

    def _alias(self, alias: object) -> str:
        return alias if isinstance(alias, str) and alias in self._aliases else OTHER

    @property
    def _aliases(self) -> Mapping[str, object]:
        return self.service.factory.services.models.aliases()

    def _of_pool(self, name: str) -> Callable[[], float]:
        pool = self.service.factory.db.pool
        return lambda: float(pool.get_stats().get(f"pool_{name}", pool.get_stats().get(name, 0)))


def _set_all(gauge: Gauge, values: Mapping[str, Any]) -> None:
    gauge.clear()
    for label, value in values.items():
        gauge.labels(label).set(value)


def _verdict(payload: Mapping[str, Any]) -> str:
    return payload["verdict"] if payload.get("verdict") in _KNOWN else OTHER


def _number(value: object) -> float:
    try:
        return max(float(str(value)), 0.0) if value is not None else 0.0
    except ValueError:
        return 0.0
