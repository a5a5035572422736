"""LangGraph's checkpoints, each written under what its writer holds; who was overtaken writes none."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final, cast

from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from psycopg import AsyncCursor
from psycopg.rows import DictRow, dict_row

from core.fencing import Fence
from core.incarnation import Pool

_MOST_TOGETHER: Final = 6
"""Statements that are made one. The database prepares each such number anew."""
_KEYED_BY: Final = 6
"""Leading columns that tell the rows of LangGraph's tables apart."""

Asked = tuple[str, Sequence[Any]]


class FencedSaver(AsyncPostgresSaver):
    """The checkpoints of one execution, which waits for no other's.

    Each write is one transaction, which asks whether the fence still holds. Raises Fenced (core/fencing.py).
    """

    def __init__(self, pool: Pool, fence: Fence | None = None) -> None:
        super().__init__(cast(Any, pool))
        self._pool = pool
        self._fence = fence

    @asynccontextmanager
    async def _cursor(self, *, pipeline: bool = False) -> AsyncGenerator[AsyncCursor[DictRow]]:
        """As the base class has it: in a pipeline it only writes."""
        if pipeline:
            # Not one statement after the other, each with its own way to the server: that is half of what a
            # checkpoint costs.
            gathered = _Gathered()
            yield cast("AsyncCursor[DictRow]", gathered)
            await self._write(gathered.statements)
            return
        async with (
            self.lock,
            self._pool.connection() as connection,
            connection.cursor(binary=True, row_factory=dict_row) as cursor,
        ):
            yield cursor

    async def _write(self, statements: Sequence[Asked]) -> None:
        if not statements:
            return
        async with self.lock, self._pool.connection() as connection:
            if _disjoint(statements):
                await connection.execute(*_together(statements, self._fence))
                return
            async with connection.transaction():
                if self._fence is not None:
                    await connection.execute(_FENCE, _under(self._fence))
                for statement, values in statements:
                    await connection.execute(cast(Any, statement), values)


_FENCE: Final = b"SELECT factory.check_fence(%s, %s)"


def _under(fence: Fence) -> Sequence[Any]:
    return (fence.subject, fence.attempt)


@dataclass
class _Gathered:
    """Stands for a cursor, and keeps what is to be written."""

    statements: list[Asked] = field(default_factory=list[Asked])

    async def execute(self, statement: str, values: Sequence[Any] = ()) -> None:
        self.statements.append((statement, values))

    async def executemany(self, statement: str, rows: Iterable[Sequence[Any]]) -> None:
        self.statements.extend((statement, values) for values in rows)


def _disjoint(statements: Sequence[Asked]) -> bool:
    """Whether no two concern the same row, so that one statement may do them all."""
    keys = {(statement.split(None, 3)[2], *map(str, values[:_KEYED_BY])) for statement, values in statements}
    return len(keys) == len(statements) <= _MOST_TOGETHER


def _together(statements: Sequence[Asked], fence: Fence | None) -> tuple[bytes, Sequence[Any]]:
    """One statement that does them all, where the fence holds."""
    parts = [f"part{n} AS ({statement.strip().rstrip(';')})" for n, (statement, _) in enumerate(statements)]
    last = b"SELECT" if fence is None else _FENCE
    values = [value for _, given in statements for value in given]
    return b"WITH " + ", ".join(parts).encode() + b" " + last, [*values, *(_under(fence) if fence else ())]
