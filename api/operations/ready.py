"""`/ready`: whether the service can do its work now, and if not, which part of it cannot."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, Literal

import psycopg
from psycopg_pool import PoolTimeout

from api.operations import queries
from api.service import Service
from core import clock, logs
from core.database import REVISIONS
from core.errors import FactoryError
from core.redaction import redact

Part = Literal["database", "migrations", "queue", "models"]

PATIENCE: Final = 3.0
"""Seconds that a part may take to answer."""
FRESH: Final = 2.0
"""Seconds for which an answer is given again, however many ask."""
UNATTENDED: Final = 120.0
"""Seconds that something may wait in the queue while no worker gives a sign of life."""

logger = logs.get(__name__)


@dataclass(frozen=True, slots=True)
class Readiness:
    """What was found."""

    parts: dict[Part, str]
    """`ok`, or what is wrong."""

    @property
    def ready(self) -> bool:
        """Whether all is well."""
        return all(said == "ok" for said in self.parts.values())


@dataclass
class Ready:
    """Looks at the parts; several who ask at once look once."""

    service: Service
    _last: Readiness | None = None
    _at: float = 0.0
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def look(self) -> Readiness:
        """How it stands now."""
        async with self._turn:
            if self._last is None or clock.monotonic() - self._at > FRESH:
                self._last = await self._look()
                self._at = clock.monotonic()
            return self._last

    async def _look(self) -> Readiness:
        found: dict[Part, str] = {}
        looks: dict[Part, Callable[[], Awaitable[str]]] = {
            "database": self._database,
            "migrations": self._migrations,
            "queue": self._queue,
            "models": self._models,
        }
        for part, look in looks.items():
            if part in ("migrations", "queue") and found["database"] != "ok":
                found[part] = "not known without the database"
                continue
            try:
                async with asyncio.timeout(PATIENCE):
                    found[part] = await look()
            except (psycopg.Error, PoolTimeout, FactoryError, TimeoutError) as error:
                found[part] = f"does not answer ({type(error).__name__})"
                logger.warning("not ready", part=part, error=redact(str(error)))
        return Readiness(found)

    async def _database(self) -> str:
        async with self.service.factory.db.pool.connection(timeout=PATIENCE) as conn:
            await conn.execute("SELECT 1")
        return "ok"

    async def _migrations(self) -> str:
        async with self.service.factory.db.pool.connection(timeout=PATIENCE) as conn:
            row = await (await conn.execute(queries.VERSION)).fetchone()
        version = None if row is None else row["version"]
        return (
            "ok" if version == REVISIONS[-1] else f"the schema is {version}, this program's {REVISIONS[-1]}"
        )

    async def _queue(self) -> str:
        lease = self.service.factory.settings.lease_seconds
        async with self.service.factory.db.pool.connection(timeout=PATIENCE) as conn:
            row = await (await conn.execute(queries.QUEUE, {"lease": lease})).fetchone()
            late = await (await conn.execute(queries.SCHEDULES)).fetchone()
        if row is None or row["workers"]:
            return "ok"
        if (row["oldest"] or 0.0) >= UNATTENDED:
            return f"{row['waiting']} jobs wait, and no worker gives a sign of life"
        if late is not None and (late["overdue"] or 0.0) >= UNATTENDED:
            return "a schedule is due, and no worker gives a sign of life"
        return "ok"

    async def _models(self) -> str:
        nobody = [
            alias for alias, chain in self.service.factory.services.models.aliases().items() if not chain
        ]
        return f"nobody answers to {', '.join(sorted(nobody))}" if nobody else "ok"
