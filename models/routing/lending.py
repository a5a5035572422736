"""Divides the limits of accounts among processes: each borrows a share from Postgres and renews it.

The shares never exceed the limit, and each process keeps to its own; so all together keep to it, without a
round trip for each call. A process that is killed leaves a share that counts until nothing of it can be in
the server's window any more.
"""

import asyncio
import math
from contextlib import suppress
from contextvars import Context

import psycopg

from core import clock, logs
from core.database import Database, DatabaseUnavailable
from core.tasks import end
from models import queries
from models.routing.quota import SLICES, Quota, Share

_RENEWALS = 3  # in the time for which a share is lent
_SOONEST = 0.02  # seconds; the shortest pause before asking for more again

_log = logs.get(__name__)


class Lending:
    """This process's shares."""

    def __init__(self, db: Database, seconds: float, late: float) -> None:
        self._db = db
        self._seconds = seconds
        self._late = late
        """Seconds that a request may take until it is at the server."""
        self._holder = clock.new_id("process")
        self._lent: dict[str, Quota] = {}
        self._renewing: asyncio.Task[None] | None = None

    async def more(self, quota: Quota, want: int, least: int) -> Share:
        """The share with as much more as there is. Raises DatabaseUnavailable."""
        self._lent[quota.name] = quota
        if self._renewing is None:
            # In a context of its own: it serves all runs of the process, and no life of the server is pinned
            # there.
            self._renewing = asyncio.get_running_loop().create_task(
                self._renew(), name="quota leases", context=Context()
            )
        try:
            return await self._lease(quota, quota.share.amount, want, least)
        except psycopg.OperationalError as error:
            raise DatabaseUnavailable(
                f"The share of {quota.name} could not be asked for: {str(error).strip()}",
                untouched="Nothing was sent",
                todo="Resume the run when the database is back",
            ) from error

    async def aclose(self) -> None:
        """Give every share back."""
        if self._renewing is not None:
            await end(self._renewing)
        for quota in self._lent.values():
            with suppress(psycopg.Error):  # then it expires
                await self._return(quota)

    async def _lease(self, quota: Quota, held: int, want: int, least: int) -> Share:
        # From before the question, so that ours ends before the database's.
        asked = clock.monotonic()
        async with self._db.pool.connection() as connection:
            cursor = await connection.execute(
                queries.LEASE_QUOTA,
                {
                    "quota": quota.name,
                    "holder": self._holder,
                    "supply": quota.supply,
                    "held": held,
                    "want": want,
                    "least": least,
                    "seconds": self._seconds,
                    "window": quota.window,
                    "late": self._late,
                },
            )
            row = await cursor.fetchone()
        assert row is not None
        again = self._seconds / _RENEWALS
        if row["ask_again"] is not None:
            again = min(again, max(_SOONEST, float(row["ask_again"])))
        return Share(int(row["amount"]), asked + self._seconds, int(row["ceiling"]), again)

    async def _return(self, quota: Quota) -> None:
        async with self._db.pool.connection() as connection:
            await connection.execute(
                queries.RETURN_QUOTA,
                {
                    "quota": quota.name,
                    "holder": self._holder,
                    "busy": quota.used(),
                    "busy_seconds": quota.last_free() + self._late,
                },
            )
        quota.share = Share(0, 0.0, quota.supply)

    async def _renew(self) -> None:
        """Keep what is in use, and let go of what is not."""
        while True:
            await asyncio.sleep(self._seconds / _RENEWALS)
            for quota in list(self._lent.values()):
                try:
                    await self._renew_one(quota)
                except (psycopg.Error, DatabaseUnavailable) as error:
                    # Then it expires by itself, and the next call asks anew.
                    _log.warning("a share of a limit was not renewed", quota=quota.name, error=str(error))

    async def _renew_one(self, quota: Quota) -> None:
        async with quota.asking:
            held = quota.share.amount
            if not (quota.peak or quota.used() or quota.wish):
                await self._return(quota)
                del self._lent[quota.name]
                return
            spare = math.ceil(quota.supply / SLICES)
            wanted = min(held, max(quota.peak, quota.used()) + spare, max(quota.share.ceiling, quota.used()))
            quota.peak = 0
            # Before the answer is here, nobody may use what is being given back.
            quota.share = Share(wanted, quota.share.expires, quota.share.ceiling)
            quota.share = await self._lease(quota, wanted, quota.wish, quota.wish)
