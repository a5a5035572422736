"""Every statement about projects and runs."""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast

from psycopg import AsyncConnection
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from core.errors import NotFound

Connection = AsyncConnection[DictRow]

RUN_COLUMNS = """
    r.id, r.project_id, p.name AS project, p.repository, r.requirement, r.pipeline, r.model, r.status,
    r.revision, r.options, r.wanted, r.attempt, r.branch, r.base_commit, r.result_commit, r.tag, r.failure,
    r.created_at, r.updated_at, r.started_at, r.ended_at
"""


async def open_project(
    conn: Connection, project_id: str, name: str, repository: str, run_id: str = ""
) -> tuple[str, bool]:
    """The id of the project of that name, created if it is new, and whether the run of that id was recorded
    before. The project's row is locked then."""
    row = await one(
        conn,
        """WITH project AS (
             INSERT INTO projects (id, name, repository, created_at) VALUES (%s, %s, %s, now())
             ON CONFLICT (name) DO UPDATE SET repository = EXCLUDED.repository RETURNING id
           ) SELECT id, EXISTS (SELECT FROM runs WHERE runs.id = %s) AS known FROM project""",
        (project_id, name, repository, run_id),
    )
    return cast(str, row["id"]), bool(row["known"])


async def project_exists(conn: Connection, name: str) -> bool:
    """Whether a project of that name is known."""
    cursor = await conn.execute("SELECT 1 FROM projects WHERE name = %s", (name,))
    return await cursor.fetchone() is not None


async def insert_run(
    conn: Connection,
    *,
    run_id: str,
    project_id: str,
    requirement: str,
    pipeline: str,
    model: str | None,
    options: dict[str, Any],
) -> None:
    """Record a run as `draft`, unless it is recorded."""
    await conn.execute(
        """INSERT INTO runs
             (id, project_id, requirement, pipeline, model, status, options, created_at, updated_at)
           VALUES (%s, %s, %s, %s, %s, 'draft', %s, now(), now()) ON CONFLICT (id) DO NOTHING""",
        (run_id, project_id, requirement, pipeline, model, Jsonb(options)),
    )


async def run_by_mail(conn: Connection, project: str, mail: str) -> str | None:
    """The id of the run that was made of a file of a project's inbox."""
    cursor = await conn.execute(
        """SELECT r.id FROM runs r JOIN projects p ON p.id = r.project_id
           WHERE p.name = %s AND r.options ->> 'mail' = %s ORDER BY r.id LIMIT 1""",
        (project, mail),
    )
    row = await cursor.fetchone()
    return str(row["id"]) if row else None


async def select_run(conn: Connection, run_id: str) -> DictRow | None:
    """One run with its project's name and repository."""
    cursor = await conn.execute(
        f"SELECT {RUN_COLUMNS} FROM runs r JOIN projects p ON p.id = r.project_id WHERE r.id = %s",  # noqa: S608
        (run_id,),
    )
    return await cursor.fetchone()


async def select_runs(conn: Connection, limit: int) -> list[DictRow]:
    """The newest runs first."""
    cursor = await conn.execute(
        f"""SELECT {RUN_COLUMNS} FROM runs r JOIN projects p ON p.id = r.project_id
            ORDER BY r.created_at DESC, r.id DESC LIMIT %s""",  # noqa: S608
        (limit,),
    )
    return await cursor.fetchall()


async def page_of_runs(
    conn: Connection,
    *,
    after: tuple[datetime, str] | None,
    limit: int,
    projects: list[str] | None,
    statuses: list[str] | None,
    pipeline: str | None,
) -> list[DictRow]:
    """The newest runs first, those that come after a (created_at, id) in this order."""
    at, run_id = after or (None, None)
    cursor = await conn.execute(
        f"""SELECT {RUN_COLUMNS} FROM runs r JOIN projects p ON p.id = r.project_id
            WHERE (%(at)s::timestamptz IS NULL OR (r.created_at, r.id) < (%(at)s, %(run_id)s))
              AND (%(projects)s::text[] IS NULL OR p.name = ANY (%(projects)s))
              AND (%(statuses)s::text[] IS NULL OR r.status = ANY (%(statuses)s))
              AND (%(pipeline)s::text IS NULL OR r.pipeline = %(pipeline)s)
            ORDER BY r.created_at DESC, r.id DESC LIMIT %(limit)s""",  # noqa: S608
        {
            "at": at,
            "run_id": run_id,
            "limit": limit,
            "projects": projects,
            "statuses": statuses,
            "pipeline": pipeline,
        },
    )
    return await cursor.fetchall()


async def page_of_projects(
    conn: Connection, *, after: str | None, limit: int, names: list[str] | None
) -> list[DictRow]:
    """Projects by name, with how many runs they have, how many of them are under way, and the newest."""
    cursor = await conn.execute(
        """SELECT p.name, p.created_at, count(r.id) AS runs,
             count(r.id) FILTER (WHERE r.ended_at IS NULL) AS live,
             (array_agg(r.id ORDER BY r.created_at DESC, r.id DESC))[1] AS last_run
           FROM projects p LEFT JOIN runs r ON r.project_id = p.id
           WHERE (%(after)s::text IS NULL OR p.name > %(after)s COLLATE "C")
             AND (%(names)s::text[] IS NULL OR p.name = ANY (%(names)s))
           GROUP BY p.id ORDER BY p.name COLLATE "C" LIMIT %(limit)s""",
        {"after": after, "limit": limit, "names": names},
    )
    return await cursor.fetchall()


async def select_runs_of(conn: Connection, project: str) -> list[DictRow]:
    """The runs of a project, the oldest first."""
    cursor = await conn.execute(
        f"""SELECT {RUN_COLUMNS} FROM runs r JOIN projects p ON p.id = r.project_id
            WHERE p.name = %s ORDER BY r.created_at, r.id""",  # noqa: S608
        (project,),
    )
    return await cursor.fetchall()


async def not_completed(conn: Connection, run_ids: list[str]) -> set[str]:
    """Those of these runs that have not been completed; what is no run here is none of them."""
    cursor = await conn.execute("SELECT id FROM open_runs WHERE id = ANY (%s)", (run_ids,))
    return {cast(str, row["id"]) for row in await cursor.fetchall()}


async def match_runs(conn: Connection, prefix: str) -> list[DictRow]:
    """Runs whose id starts with `prefix`, at most three: enough to tell none, one and several apart."""
    cursor = await conn.execute(
        f"""SELECT {RUN_COLUMNS} FROM runs r JOIN projects p ON p.id = r.project_id
            WHERE starts_with(r.id, %s) ORDER BY r.created_at DESC LIMIT 3""",  # noqa: S608
        (prefix,),
    )
    return await cursor.fetchall()


async def lock_status(conn: Connection, run_id: str) -> Any:
    """The run's status, its row locked until the transaction ends."""
    row = await one(conn, "SELECT status FROM runs WHERE id = %s FOR UPDATE", (run_id,))
    return row["status"]


async def set_status(conn: Connection, run_id: str, status: str, *, failure: str | None, ended: bool) -> None:
    """Write a status that `lifecycle.move` has allowed."""
    await conn.execute(
        """UPDATE runs SET status = %s, failure = coalesce(%s, failure), updated_at = now(),
             started_at = coalesce(started_at, now()),
             ended_at = CASE WHEN %s THEN now() ELSE ended_at END
           WHERE id = %s""",
        (status, failure, ended, run_id),
    )


async def reopen(conn: Connection, run_id: str, *, rollbacks: int, revision: int) -> None:
    """Make a run one that is in progress, without an end or a result."""
    await conn.execute(
        """UPDATE runs SET status = 'in_progress', failure = NULL, ended_at = NULL, tag = NULL,
             result_commit = NULL, wanted = NULL, revision = %s, updated_at = now(),
             options = options || jsonb_build_object('rollbacks', %s::int)
           WHERE id = %s""",
        (revision, rollbacks, run_id),
    )


async def event_exists(conn: Connection, run_id: str, key: str) -> bool:
    """Whether the run has an event of that key."""
    cursor = await conn.execute("SELECT 1 FROM events WHERE run_id = %s AND key = %s", (run_id, key))
    return await cursor.fetchone() is not None


async def set_branch(conn: Connection, run_id: str, branch: str, base_commit: str) -> None:
    """Record where the run works in its repository."""
    await conn.execute(
        "UPDATE runs SET branch = %s, base_commit = %s, updated_at = now() WHERE id = %s",
        (branch, base_commit, run_id),
    )


async def set_result(conn: Connection, run_id: str, tag: str, commit: str) -> None:
    """Record what the run released."""
    await conn.execute(
        "UPDATE runs SET tag = %s, result_commit = %s, updated_at = now() WHERE id = %s",
        (tag, commit, run_id),
    )


async def set_revision(conn: Connection, run_id: str, revision: int) -> None:
    """Record which round of review the run is in (0 = the first)."""
    await conn.execute("UPDATE runs SET revision = %s, updated_at = now() WHERE id = %s", (revision, run_id))


async def newest_checkpoint(conn: Connection, run_id: str) -> str | None:
    """The highest id of a run's checkpoints, those of its stages among them."""
    row = await one(
        conn, "SELECT max(checkpoint_id) AS newest FROM checkpoints WHERE thread_id = %s", (run_id,)
    )
    return cast("str | None", row["newest"])


async def mark_purged(conn: Connection, run_id: str) -> None:
    """Record that nothing can be done with the run any more but look at it."""
    await conn.execute("UPDATE runs SET options = options || '{\"purged\": true}' WHERE id = %s", (run_id,))


async def remove_words(conn: Connection, run_id: str, mark: str) -> int:
    """Remove a run's checkpoints, and put a mark in the place of what it was given, asked and told; how many
    rows that were."""
    rows = 0
    for statement in (
        "DELETE FROM checkpoint_writes WHERE thread_id = %(run)s",
        "DELETE FROM checkpoint_blobs WHERE thread_id = %(run)s",
        "DELETE FROM checkpoints WHERE thread_id = %(run)s",
        """UPDATE approvals SET title = %(mark)s, question = %(mark)s, detail = '{}', default_answer = NULL,
             answer = CASE WHEN answer IS NOT NULL THEN %(mark)s END
           WHERE run_id = %(run)s AND question <> %(mark)s""",
        """UPDATE clarifications SET question = %(mark)s, reason = NULL,
             answer = CASE WHEN answer IS NOT NULL THEN %(mark)s END
           WHERE run_id = %(run)s AND question <> %(mark)s""",
        """UPDATE runs SET requirement = %(mark)s, failure = CASE WHEN failure IS NOT NULL THEN %(mark)s END,
             options = CASE WHEN options ? 'change' THEN jsonb_set(options, '{change}',
                 jsonb_build_object('of', options -> 'change' ->> 'of', 'history', '[]'::jsonb))
               ELSE options END
           WHERE id = %(run)s AND requirement <> %(mark)s""",
    ):
        rows += (await conn.execute(statement, {"run": run_id, "mark": mark})).rowcount
    return rows


async def set_attempt(conn: Connection, run_id: str, attempt: int) -> None:
    """Show in a run's record how often it was taken up."""
    await conn.execute(
        "UPDATE runs SET attempt = %(a)s WHERE id = %(id)s AND attempt < %(a)s", {"id": run_id, "a": attempt}
    )


async def wanted_of(conn: Connection, run_ids: list[str]) -> list[str]:
    """Those of these runs of which a person wants something."""
    cursor = await conn.execute("SELECT id FROM runs WHERE id = ANY (%s) AND wanted IS NOT NULL", (run_ids,))
    return [str(row["id"]) for row in await cursor.fetchall()]


async def want(conn: Connection, run_id: str, wanted: dict[str, str] | None) -> None:
    """Record what a person wants of a run; None for nothing any more."""
    await conn.execute(
        "UPDATE runs SET wanted = %s, updated_at = now() WHERE id = %s",
        (None if wanted is None else Jsonb(wanted), run_id),
    )


async def lock_wanted(conn: Connection, run_id: str) -> DictRow:
    """A run's `status` and what is `wanted` of it, its row locked until the transaction ends."""
    return await one(conn, "SELECT status, wanted FROM runs WHERE id = %s FOR UPDATE", (run_id,))


async def one(
    conn: Connection, statement: str, parameters: tuple[object, ...] | dict[str, object]
) -> DictRow:
    cursor = await conn.execute(statement, parameters)  # pyright: ignore[reportArgumentType]
    row = await cursor.fetchone()
    if row is None:
        what = parameters[0] if isinstance(parameters, tuple) else parameters
        raise NotFound(f"Nothing found for {what!r}", todo="List what there is with `factory runs`")
    return row
