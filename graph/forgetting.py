"""Forgetting in what runs that are over keep beside memory and audit: their rows, and their checkpoints.

A run that is over may still be rolled back, so LangGraph's checkpoints of it stay, without the text. One that
is not over works with what it has been told; it keeps its copy, and whoever forgets is told which that is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

import ormsgpack
from psycopg.types.json import Jsonb

from core.database import Database
from core.json import is_array, is_object
from graph import copies, queries
from graph.lifecycle import ENDED
from memory.audit.forgetting import cut
from memory.audit.phrases import Phrase
from memory.lineage.everywhere import meant
from memory.lineage.forgetting import Forgetting
from memory.service import Memories

# Without the last one an `_Extension` would be packed as a map, and LangGraph would read no object any more.
_OPTIONS: Final = (
    ormsgpack.OPT_NON_STR_KEYS | ormsgpack.OPT_REPLACE_SURROGATES | ormsgpack.OPT_PASSTHROUGH_DATACLASS
)

Cut = Callable[[str], str]


@dataclass
class WorkingCopies:
    """Takes texts out of the rows and checkpoints of runs that are over, and says what became of them."""

    cut: dict[str, int] = field(default_factory=dict[str, int])
    """Of each run, how many rows they were taken out of."""
    left: list[str] = field(default_factory=list[str])
    """Runs that are not over, and work with them still."""

    async def __call__(self, memories: Memories, forgetting: Forgetting) -> None:
        phrases = [Phrase(piece) for text in forgetting.texts for piece in meant(text)]
        await self.take_out(memories.db, phrases)

    async def take_out(self, db: Database, phrases: Sequence[Phrase]) -> None:
        """Take phrases out of every run. Done again, it finds nothing more to do."""

        def shortened(text: str) -> str:
            for phrase in phrases:
                text = cut(text, phrase)
            return text

        for word in dict.fromkeys(phrase.plain_word for phrase in phrases):
            async with db.pool.connection() as connection:
                runs = await copies.runs_with(connection, word)
            for run_id in runs:
                await self._take_out_of(db, run_id, word, shortened)

    async def _take_out_of(self, db: Database, run_id: str, word: str, shortened: Cut) -> None:
        rows = 0
        async with db.pool.connection() as connection, connection.transaction():
            # Held to the end, so that nobody opens the run again meanwhile.
            over = await queries.lock_status(connection, run_id) in ENDED
            for table, (_, _, columns) in copies.TABLES.items():
                for row in await copies.rows_of(connection, table, run_id, word):
                    new = {name: _without(row[name], shortened) for name in columns}
                    changed = {name: _storable(value) for name, value in new.items() if value != row[name]}
                    if changed and over:
                        await copies.rewrite(connection, table, row, changed)
                    rows += bool(changed)
        if rows and over:
            self.cut[run_id] = self.cut.get(run_id, 0) + rows
        elif rows and run_id not in self.left:
            self.left.append(run_id)


def _storable(value: Any) -> Any:
    return Jsonb(value) if is_object(value) or is_array(value) else value


def _without(value: Any, shortened: Cut) -> Any:
    return _unpacked(value, shortened) if isinstance(value, bytes) else _walked(value, shortened)


def _walked(value: Any, shortened: Cut) -> Any:
    """A value as JSON and msgpack have it, with each text in it shortened."""
    if isinstance(value, str):
        return shortened(value)
    if isinstance(value, dict):
        items = cast("Mapping[Any, Any]", value).items()
        return {key: _walked(item, shortened) for key, item in items}
    if isinstance(value, list):
        return [_walked(item, shortened) for item in cast("Sequence[Any]", value)]
    if isinstance(value, _Extension):
        return _Extension(value.code, _unpacked(value.data, shortened))
    return value


@dataclass(frozen=True, slots=True)
class _Extension:
    """An object as LangGraph's serializer packs it: what it holds is packed again inside."""

    code: int
    data: bytes


def _unpacked(data: bytes, shortened: Cut) -> bytes:
    """Packed data with its texts shortened; as it was where nothing is to be, or it is no such data."""
    try:
        value = ormsgpack.unpackb(data, ext_hook=_Extension, option=ormsgpack.OPT_NON_STR_KEYS)
    except ormsgpack.MsgpackDecodeError:
        return data
    new = _walked(value, shortened)
    return data if new == value else ormsgpack.packb(new, default=_extended, option=_OPTIONS)


def _extended(value: Any) -> ormsgpack.Ext:
    if isinstance(value, _Extension):
        return ormsgpack.Ext(value.code, value.data)
    raise TypeError(f"{type(value).__name__} is nothing that was unpacked")
