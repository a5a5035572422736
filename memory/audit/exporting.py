"""Chains as a file: JSONL, held against itself on the way out, so that no broken chain leaves.

{"what": "factory audit export", "version": 1, "at": …}
{"run": ID, "events": 3, "hash": HEAD}
{"record": TEXT, "hash": …}                                   one for each event, in order
{"text": NAME, "seq": 2, "salt": …, "body": …, "forgotten_by": null}
{"end": 1}                                                    how many runs there were
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any, Final

from psycopg import AsyncConnection
from psycopg.rows import DictRow

from core import audit, clock
from core import queries as log
from core.audit import Broken
from core.database import Database
from core.incarnation import pinned
from core.json import JsonObject
from memory.audit.checkpoints import ChainBroken
from memory.audit.passage import Passage

WHAT: Final = "factory audit export"
VERSION: Final = 1
TEXT_FIELDS: Final = ("seq", "salt", "body", "forgotten_by")
"""What a line of a text says beside its name."""
_TOGETHER: Final = 500
"""Events that are read at once."""


@dataclass
class Passed:
    """What came through."""

    runs: list[str] = field(default_factory=list[str])
    """The runs that are new, or have more events than before."""
    known: list[str] = field(default_factory=list[str])
    """The runs that were there already, as they are."""
    events: int = 0
    texts: int = 0


async def export(db: Database, run_id: str | None, write: Callable[[str], object]) -> Passed:
    """Hand every line of a run, or of all, to `write`. After ChainBroken, what was written is no export."""
    passed = Passed()

    def line(told: JsonObject) -> None:
        write(json.dumps(told, ensure_ascii=False, separators=(",", ":")) + "\n")

    line({"what": WHAT, "version": VERSION, "at": clock.now().isoformat()})
    async with db.pool.connection() as connection:
        with pinned(connection):
            async with connection.transaction():
                await connection.execute(log.ONE_SNAPSHOT)
                cursor = await connection.execute(log.HEADS, {"run_id": run_id})
                for head in sorted(await cursor.fetchall(), key=lambda row: row["run_id"]):
                    if head["seq"]:
                        line({"run": head["run_id"], "events": head["seq"], "hash": head["hash"]})
                        await _export_run(connection, head, line, passed)
            # What leaves must survive the server that it came from.
            await audit.flush(db)
    line({"end": len(passed.runs)})
    return passed


async def _export_run(
    connection: AsyncConnection[DictRow], head: DictRow, line: Callable[[JsonObject], None], passed: Passed
) -> None:
    run_id = head["run_id"]
    passage = Passage(run_id)
    try:
        async for row in _rows(connection, log.CHAINS, run_id):
            passage.event(row["record"], row["hash"])
            line({"record": row["record"], "hash": row["hash"]})
        async for row in _rows(connection, log.TEXTS, run_id):
            passage.text(row)
            line({"text": row["name"], **{name: row[name] for name in TEXT_FIELDS}})
            passed.texts += 1
        passage.end(head["seq"], head["hash"])
    except Broken as broken:
        raise ChainBroken(
            f"The chain of {run_id} is broken at event {broken.link.seq}: {broken.link.why}",
            untouched="Nothing was handed on",
            todo=f"See: factory audit verify {run_id}",
        ) from broken
    passed.runs.append(run_id)
    passed.events += passage.seq


async def _rows(connection: AsyncConnection[DictRow], query: Any, run_id: str) -> AsyncIterator[DictRow]:
    async with connection.cursor(name="exported") as cursor:
        cursor.itersize = _TOGETHER
        await cursor.execute(query, {"run_id": run_id})
        async for row in cursor:
            yield row
