"""Every statement about the texts that runs keep beside their log: their rows, and their checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from psycopg import sql
from psycopg.rows import DictRow

from core.incarnation import Connection

_CHECKPOINT: Final = ("thread_id", "checkpoint_ns", "checkpoint_id")

TABLES: Final[Mapping[str, tuple[str, tuple[str, ...], tuple[str, ...]]]] = {
    "runs": ("id", ("id",), ("requirement", "failure", "options")),
    "approvals": ("run_id", ("id",), ("title", "question", "default_answer", "answer", "detail")),
    "clarifications": ("run_id", ("id",), ("question", "answer", "reason")),
    "checkpoints": ("thread_id", _CHECKPOINT, ("checkpoint", "metadata")),
    "checkpoint_blobs": ("thread_id", ("thread_id", "checkpoint_ns", "channel", "version"), ("blob",)),
    "checkpoint_writes": ("thread_id", (*_CHECKPOINT, "task_id", "idx"), ("blob",)),
}
"""Of each table: the column that has the run, its key, and the columns with text."""


def _holding(table: str) -> sql.Composed:
    run, _, columns = TABLES[table]
    # Bytes outside of ASCII are escaped; the words that are looked for are inside.
    read = ["encode({}, 'escape')" if name == "blob" else "{}::text" for name in columns]
    texts = [
        sql.SQL(how).format(sql.Identifier(name))  # pyright: ignore[reportArgumentType]
        for how, name in zip(read, columns, strict=True)
    ]
    return sql.SQL("FROM factory.{} WHERE concat_ws(' ', {}) ILIKE %(word)s AND {}").format(
        sql.Identifier(table), sql.SQL(", ").join(texts), sql.Identifier(run)
    )


async def runs_with(connection: Connection, word: str) -> list[str]:
    """The runs that keep a text with this word somewhere, in any case; all of them where it is empty."""
    parts = [
        sql.SQL("SELECT {} {} IS NOT NULL").format(sql.Identifier(run), _holding(table))
        for table, (run, _, _) in TABLES.items()
    ]
    found = sql.SQL("SELECT r.id FROM factory.runs r WHERE r.id IN ({}) ORDER BY r.id").format(
        sql.SQL(" UNION ").join(parts)
    )
    return [row["id"] for row in await (await connection.execute(found, {"word": f"%{word}%"})).fetchall()]


async def rows_of(connection: Connection, table: str, run_id: str, word: str) -> list[DictRow]:
    """The rows of a run in one of `TABLES` that hold the word: their key, and the columns with text."""
    _, key, columns = TABLES[table]
    names = sql.SQL(", ").join(map(sql.Identifier, (*key, *columns)))
    found = sql.SQL("SELECT {} {} = %(run)s FOR UPDATE").format(names, _holding(table))
    return await (await connection.execute(found, {"word": f"%{word}%", "run": run_id})).fetchall()


async def rewrite(
    connection: Connection, table: str, row: Mapping[str, Any], changed: Mapping[str, object]
) -> None:
    """Put `changed`, some columns with text, into a row of one of `TABLES`."""
    _, key, _ = TABLES[table]
    sets = [
        sql.SQL("{} = {}").format(sql.Identifier(name), sql.Placeholder(f"new_{name}")) for name in changed
    ]
    same = [sql.SQL("{} = {}").format(sql.Identifier(name), sql.Placeholder(name)) for name in key]
    statement = sql.SQL("UPDATE factory.{} SET {} WHERE {}").format(
        sql.Identifier(table), sql.SQL(", ").join(sets), sql.SQL(" AND ").join(same)
    )
    values = {f"new_{name}": value for name, value in changed.items()}
    await connection.execute(statement, {**values, **{name: row[name] for name in key}})
