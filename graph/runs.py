"""Runs as records: what was asked, where it works, how far it is. Status changes go through `lifecycle`."""

from __future__ import annotations

import builtins
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from psycopg.rows import DictRow

from core import clock, pipelining
from core.database import Database
from core.errors import NotFound
from core.events import EventLog
from graph import queries, turns
from graph.lifecycle import RunStatus
from graph.queries import Connection
from graph.turns import IfActive
from graph.wanted import Wanted

if TYPE_CHECKING:  # what reads records only does not wait for LangGraph
    from graph.state import Change


@dataclass(frozen=True, slots=True)
class Run:
    """One row of `runs`, with its project's name and repository."""

    id: str
    project: str
    repository: Path
    requirement: str
    pipeline: str
    model: str | None
    """The override it was started with: the same model answers when it is resumed."""
    status: RunStatus
    revision: int
    approve_all: bool
    rollbacks: int
    """How often it was rolled back."""
    budget_usd: Decimal | None
    """What it may spend on models, where it was started with a budget of its own."""
    wanted: Wanted | None
    """What a person wants of whoever drives it."""
    attempt: int
    """How often it was taken up."""
    by: str
    """Who submitted it; empty where that is not recorded."""
    after: tuple[str, ...]
    """The runs of its project that it was to wait for (graph/turns.py)."""
    change: Change | None
    """What it changes; None where it builds from its requirement alone."""
    purged: bool
    """Whether what it was given and could go on from was removed (graph/purging.py)."""
    tag: str | None
    result_commit: str | None
    base_commit: str | None
    failure: str | None
    created_at: datetime
    ended_at: datetime | None


class Runs:
    """The table `runs`."""

    def __init__(self, db: Database, events: EventLog) -> None:
        self._db = db
        self._events = events
        self.created: Callable[[Connection, str, str, bool], Awaitable[None]] | None = None
        """Called with a new run's id, its project, and whether it may have to wait for its turn, in the
        transaction that records it."""

    async def create(
        self,
        requirement: str,
        *,
        project: str,
        repository: Path,
        pipeline: str,
        model: str | None,
        approve_all: bool,
        change: Change | None = None,
        budget_usd: Decimal | None = None,
        by: str = "",
        mail: str = "",
        if_active: IfActive | None = None,
        run_id: str | None = None,
    ) -> str:
        """Record a run as `draft`, with its first event, in one transaction; returns its id.

        `by` is who submitted it, `mail` the file of the inbox that it answers. Under a `run_id` that was
        given it is recorded once, as it was given first. `if_active` says what becomes of the runs that are
        active in the project. Raises ProjectBusy.
        """
        run_id = run_id or clock.new_id("run")
        async with self._db.pool.connection() as conn, pipelining.transaction(conn):
            project_id, known = await queries.open_project(
                conn, clock.new_id("project"), project, str(repository), run_id
            )
            if known:
                return run_id
            after: list[str] = []
            if if_active is not None:
                # Who had the project's row before may have recorded this very run.
                if await queries.select_run(conn, run_id) is not None:
                    return run_id
                after = await turns.take(conn, self._events, project_id, run_id, if_active, by)
            await queries.insert_run(
                conn,
                run_id=run_id,
                project_id=project_id,
                requirement=requirement,
                pipeline=pipeline,
                model=model,
                options={
                    "approve_all": approve_all,
                    **({"change": change} if change else {}),
                    **({} if budget_usd is None else {"budget_usd": str(budget_usd)}),
                    **({"mail": mail} if mail else {}),
                    **({"by": by} if by else {}),
                    **({"after": after} if after else {}),
                },
            )
            await self._events.note(
                conn,
                run_id,
                "run.created",
                {
                    "requirement": requirement,
                    "project": project,
                    "pipeline": pipeline,
                    "model": model,
                    "approve_all": approve_all,
                    **({} if budget_usd is None else {"budget_usd": str(budget_usd)}),
                    **({"changes": change["of"] or project} if change else {}),
                    **({"by": by} if by else {}),
                    **({"if_active": if_active} if if_active else {}),
                    **({"after": after} if after else {}),
                },
                key="run.created",
            )
            if self.created is not None:
                await self.created(conn, run_id, project, bool(after))
        return run_id

    async def get(self, run_id: str) -> Run:
        """The run of exactly that id; raises NotFound."""
        async with self._db.pool.connection() as conn:
            row = await queries.select_run(conn, run_id)
        if row is None:
            raise NotFound(f"There is no run {run_id!r}", todo="List the runs with `factory runs`")
        return _run(row)

    async def by_mail(self, project: str, mail: str) -> Run | None:
        """The run that answers a file of the project's inbox."""
        async with self._db.pool.connection() as conn:
            found = await queries.run_by_mail(conn, project, mail)
        return await self.get(found) if found else None

    async def find(self, prefix: str) -> str:
        """The id that `prefix` stands for; as for `named`."""
        return (await self.named(prefix)).id

    async def named(self, prefix: str) -> Run:
        """The run that `prefix` stands for: a whole id, a unique beginning of one, or `last`. Raises
        NotFound."""
        if prefix == "last":
            newest = await self.list(limit=1)
            if not newest:
                raise NotFound("There is no run yet", todo='Start one with `factory run "…"`')
            return newest[0]
        rows: dict[str, DictRow] = {}
        if prefix.isprintable():  # what is not names nothing; some of it no database takes
            async with self._db.pool.connection() as conn:
                rows = {row["id"]: row for row in await queries.match_runs(conn, prefix)}
        if prefix in rows or len(rows) == 1:
            return _run(rows[prefix if prefix in rows else next(iter(rows))])
        if not rows:
            raise NotFound(f"No run starts with {prefix[:80]!r}", todo="List the runs with `factory runs`")
        raise NotFound(f"Several runs start with {prefix!r}: {', '.join(rows)} …", todo="Give more of the id")

    async def list(self, limit: int = 50) -> list[Run]:
        """The newest runs first, at most `limit`."""
        async with self._db.pool.connection() as conn:
            return [_run(row) for row in await queries.select_runs(conn, limit)]

    async def page(
        self,
        *,
        after: tuple[datetime, str] | None = None,
        limit: int = 50,
        projects: Sequence[str] | None = None,
        statuses: Sequence[str] | None = None,
        pipeline: str | None = None,
    ) -> builtins.list[Run]:
        """The newest runs first: at most `limit` of those older than (created_at, id)."""
        async with self._db.pool.connection() as conn:
            rows = await queries.page_of_runs(
                conn,
                after=after,
                limit=limit,
                projects=None if projects is None else [*projects],
                statuses=None if not statuses else [*statuses],
                pipeline=pipeline,
            )
        return [_run(row) for row in rows]

    async def known(self, run_id: str) -> bool:
        """Whether there is a run of exactly that id."""
        async with self._db.pool.connection() as conn:
            return await queries.select_run(conn, run_id) is not None

    async def of_project(self, project: str) -> builtins.list[Run]:
        """The runs of a project, the oldest first."""
        async with self._db.pool.connection() as conn:
            return [_run(row) for row in await queries.select_runs_of(conn, project)]

    async def knows_project(self, name: str) -> bool:
        """Whether a project of that name is recorded."""
        async with self._db.pool.connection() as conn:
            return await queries.project_exists(conn, name)

    async def set_branch(self, run_id: str, branch: str, base_commit: str) -> None:
        """Record the run's branch and the commit it starts from."""
        async with self._db.pool.connection() as conn:
            await queries.set_branch(conn, run_id, branch, base_commit)

    async def set_result(self, run_id: str, tag: str, commit: str) -> None:
        """Record what the run released."""
        async with self._db.pool.connection() as conn:
            await queries.set_result(conn, run_id, tag, commit)

    async def set_revision(self, run_id: str, revision: int) -> None:
        """Record how often a reviewer has sent the run round again."""
        async with self._db.pool.connection() as conn:
            await queries.set_revision(conn, run_id, revision)


def _run(row: dict[str, Any]) -> Run:
    options = cast("dict[str, Any]", row["options"] or {})
    return Run(
        id=row["id"],
        project=row["project"],
        repository=Path(row["repository"]),
        requirement=row["requirement"],
        pipeline=row["pipeline"],
        model=row["model"],
        status=cast(RunStatus, row["status"]),
        revision=row["revision"],
        approve_all=bool(options.get("approve_all")),
        rollbacks=int(options.get("rollbacks", 0)),
        budget_usd=Decimal(options["budget_usd"]) if "budget_usd" in options else None,
        wanted=Wanted.of(row["wanted"]),
        attempt=row["attempt"],
        by=str(options.get("by", "")),
        after=tuple(options.get("after", ())),
        change=options.get("change"),
        purged=bool(options.get("purged")),
        tag=row["tag"],
        result_commit=row["result_commit"],
        base_commit=row["base_commit"],
        failure=row["failure"],
        created_at=row["created_at"],
        ended_at=row["ended_at"],
    )
