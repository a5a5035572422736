"""Leases: which stage of which run works on which paths of a project right now.

A lease keeps nobody out and makes nobody wait: each stage has a worktree of its own, and what meets is made
one at the merge. It is there so that people, and the teams themselves, know of each other before that. It
expires, so that a process that died is soon forgotten.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from core import clock
from core.database import Database
from workspace import queries

LASTS: Final = timedelta(minutes=2)
"""Of a lease that nobody renews."""


@dataclass(frozen=True, slots=True)
class Lease:
    """A stage that works."""

    run_id: str
    stage: str
    project: str
    team: str
    paths: tuple[str, ...]
    """Globs that the team may write."""
    files: tuple[str, ...] = ()
    """What it has written so far by its tools."""
    taken_at: datetime | None = None
    expires_at: datetime | None = None

    def same(self, other: Lease) -> bool:
        """Whether it is the same stage's."""
        return (self.run_id, self.stage) == (other.run_id, other.stage)


class Leases:
    """The table `leases`."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._renewed: dict[tuple[str, str], float] = {}
        """When this process renewed those that it has not given back, by its own monotonic clock."""

    async def renew(self, lease: Lease) -> None:
        """Take the lease, or make it last from now; expired ones of anybody are removed."""
        now = clock.monotonic()
        async with self._db.pool.connection() as conn:
            await queries.renew_lease(
                conn,
                run_id=lease.run_id,
                stage=lease.stage,
                project=lease.project,
                team=lease.team,
                paths=lease.paths,
                lasts=LASTS,
                ahead=clock.ahead(),
            )
        self._renewed[lease.run_id, lease.stage] = now

    async def hold(self, lease: Lease) -> None:
        """Renew the lease, unless this process did so a moment ago."""
        renewed = self._renewed.get((lease.run_id, lease.stage))
        if renewed is None or clock.monotonic() - renewed >= LASTS.total_seconds() / 8:
            await self.renew(lease)

    async def wrote(self, lease: Lease, path: str) -> list[Lease]:
        """Record a file that the stage has written; the other stages at work that have written it too."""
        async with self._db.pool.connection() as conn, conn.transaction():
            await queries.no_wait_for_disk(conn)
            await queries.note_file(conn, lease.run_id, lease.stage, path)
            rows = await queries.select_leases(conn, lease.project, clock.ahead())
        return [other for other in _leases(rows) if path in other.files and not other.same(lease)]

    async def give_back(self, run_id: str, stage: str) -> None:
        """End the lease. A second time nothing happens."""
        self._renewed.pop((run_id, stage), None)
        async with self._db.pool.connection() as conn:
            await queries.delete_lease(conn, run_id, stage)

    async def live(self, project: str) -> list[Lease]:
        """The leases of a project, the oldest first."""
        async with self._db.pool.connection() as conn:
            return _leases(await queries.select_leases(conn, project, clock.ahead()))


def _leases(rows: Sequence[dict[str, Any]]) -> list[Lease]:
    plain = [Lease(**row) for row in rows]
    return [replace(lease, paths=tuple(lease.paths), files=tuple(lease.files)) for lease in plain]
