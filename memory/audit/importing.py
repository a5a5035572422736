"""Chains from a file, held against themselves on the way in. Nothing is taken from a file that is not whole.

What is imported is marked so and read-only: `factory.append_event` refuses to write to it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any, Final

import psycopg
from psycopg import AsyncConnection
from psycopg.rows import DictRow

from core.audit import Broken
from core.database import Database
from core.errors import BadInput, FactoryError
from core.json import is_object
from memory.audit import queries
from memory.audit.exporting import TEXT_FIELDS, VERSION, WHAT, Passed
from memory.audit.passage import Passage, Row

_LONGEST_LINE: Final = 100_000_000  # bytes; a text has up to 16 MB, and JSON may write a byte as six
_WRAPPED: Final = {
    b"\x1f\x8b": ("is compressed by gzip", "Unpack it first: gunzip"),
    b"\x28\xb5\x2f\xfd": ("is compressed by zstd", "Unpack it first: unzstd"),
    b"PK\x03\x04": ("is a zip archive", "Unpack it first: unzip"),
    b"\xef\xbb\xbf": (
        "begins with a byte order mark, which an editor put there",
        "Take the file from its source again; `factory audit export` writes none",
    ),
}
"""What a file that was packed or edited begins with."""
_LONGEST_ID: Final = 200
_TOGETHER: Final = 500
"""Events that are written at once."""


class FileBroken(BadInput):
    """The file is not a whole export of an audit."""


class ImportRefused(FactoryError):
    """A run of the file is here already, with another chain."""

    http_status = 409


async def import_(db: Database, file: IO[bytes], *, by: str) -> Passed:
    """Take in the runs of an export, all or none; a run that is here already is left as it is.

    Raises FileBroken, which names the first line that is not what was exported, and ImportRefused.
    """
    async with db.pool.connection() as connection, connection.transaction():
        await connection.execute(queries.ONE_IMPORT)
        return await _Import(connection, _Lines(file), by).all()


class _Lines:
    """The lines of a file, each a JSON object, with their numbers."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.number = 0
        """Of the line that was read last, counted from 1."""

    def next(self) -> dict[str, Any]:
        """The next one. Raises FileBroken."""
        self.number += 1
        raw = self._file.readline(_LONGEST_LINE)
        if not raw:
            empty = self.number == 1
            raise self.broken("the file is empty" if empty else "the file ends before it is complete")
        if not raw.endswith(b"\n"):
            raise self.broken("the line has no end")
        try:
            told = json.loads(raw.decode())
        except (ValueError, RecursionError):
            raise self._no_json(raw) from None
        if not is_object(told):
            raise self.broken("it is no JSON object")
        return told

    def nothing_more(self) -> None:
        """Raises FileBroken where another line follows."""
        self.number += 1
        if self._file.read(1):
            raise self.broken("something follows the end")

    def broken(self, why: str, todo: str = "") -> FileBroken:
        return FileBroken(
            f"Line {self.number} of the file is broken: {why}",
            untouched="Nothing was imported",
            todo=todo or "Take the file from its source again: factory audit export",
        )

    def _no_json(self, raw: bytes) -> FileBroken:
        """A line that is no JSON, with what was probably done to the file on its way."""
        first = raw if self.number == 1 else b""
        for begins, (what, todo) in _WRAPPED.items():
            if first.startswith(begins):
                return self.broken(f"it {what}", todo)
        return self.broken("it is no JSON")


class _Import:
    """One passage through a file, in one transaction."""

    def __init__(self, connection: AsyncConnection[DictRow], lines: _Lines, by: str) -> None:
        self._connection = connection
        self._lines = lines
        self._by = by
        self._passed = Passed()
        self._seen: set[str] = set()

    async def all(self) -> Passed:
        told = self._lines.next()
        if told.get("what") != WHAT:
            raise self._lines.broken("this is no export of an audit")
        if told.get("version") != VERSION:
            raise self._lines.broken(
                f"it is of version {str(told.get('version'))[:20]}, and this program knows {VERSION}",
                "Import it with the version of the factory that wrote it, or a newer one",
            )
        told = self._lines.next()
        runs = 0
        while "run" in told:
            told = await self._run(told)
            runs += 1
        if told != {"end": runs}:
            raise self._lines.broken(f"here the end of {runs} runs is to stand")
        self._lines.nothing_more()
        return self._passed

    async def _run(self, head: Mapping[str, Any]) -> dict[str, Any]:
        """Take a run in; the first line after it."""
        run_id, events, its_hash = head["run"], head.get("events"), head.get("hash")
        if not isinstance(run_id, str) or not run_id.isprintable() or not 0 < len(run_id) <= _LONGEST_ID:
            raise self._lines.broken("this is no id of a run")
        if type(events) is not int or events < 1 or not isinstance(its_hash, str):
            raise self._lines.broken("it does not say where the chain ends")
        if run_id in self._seen:
            raise self._lines.broken(f"{run_id} stands in the file twice")
        self._seen.add(run_id)
        known = await self._known(run_id)
        passage, fresh = Passage(run_id), list[Row]()
        told = self._lines.next()
        try:
            while "record" in told:
                row = passage.event(str(told["record"]), str(told.get("hash")))
                if row.seq <= len(known.hashes):
                    if row.hash != known.hashes[row.seq - 1]:
                        raise _refused(run_id, f"with another event {row.seq}")
                else:
                    fresh.append(row)
                if len(fresh) >= _TOGETHER:
                    await self._write(run_id, fresh, known)
                told = self._lines.next()
            await self._write(run_id, fresh, known)
            texts = list[dict[str, Any]]()
            while "text" in told:
                texts.append(self._text(passage, told))
                told = self._lines.next()
            passage.end(events, its_hash)
        except Broken as broken:
            of = f"text {broken.link.text} of " if broken.link.text else ""
            raise self._lines.broken(
                f"{of}event {broken.link.seq} of {run_id}: {broken.link.why}"
            ) from broken
        await self._settle(run_id, passage, known, texts)
        return told

    def _text(self, passage: Passage, told: Mapping[str, Any]) -> dict[str, Any]:
        row = {"name": told["text"], **{name: told.get(name) for name in TEXT_FIELDS}}
        numbers = (row["seq"], row["forgotten_by"])
        texts = (row["salt"], row["body"])
        whole = isinstance(row["name"], str) and type(row["seq"]) is int
        whole = whole and all(one is None or type(one) is int for one in numbers)
        if not whole or not all(one is None or isinstance(one, str) for one in texts):
            raise self._lines.broken("this is no text of an event")
        passage.text(row)
        return row

    async def _known(self, run_id: str) -> _Known:
        """The chain that is here already."""
        head = await (await self._connection.execute(queries.CHAIN, {"run_id": run_id})).fetchone()
        cursor = await self._connection.execute(queries.HASHES, {"run_id": run_id})
        hashes = [str(row["hash"]) for row in await cursor.fetchall()]
        return _Known(hashes, own=head is not None and head["imported_at"] is None)

    async def _write(self, run_id: str, fresh: list[Row], known: _Known) -> None:
        if not fresh:
            return
        if known.own:
            raise _refused(run_id, "as a run of this factory, which has fewer events than the file")
        try:
            await self._connection.execute(
                queries.IMPORT_EVENTS,
                {
                    "run_id": run_id,
                    "by": self._by,
                    **{
                        f"{name}s": [getattr(row, name) for row in fresh] for name in queries.IMPORTED_COLUMNS
                    },
                },
            )
        except (psycopg.DataError, psycopg.IntegrityError, UnicodeEncodeError) as error:
            raise self._lines.broken(f"events of {run_id} cannot be stored: {error}") from error
        known.grew = True
        fresh.clear()

    async def _settle(
        self, run_id: str, passage: Passage, known: _Known, texts: Sequence[Mapping[str, Any]]
    ) -> None:
        if not known.grew:
            self._passed.known.append(run_id)
            return
        for part in _parts(texts):
            columns = {f"{name}s": [text[name] for text in part] for name in ("seq", "name", "salt", "body")}
            forgotten = [text["forgotten_by"] for text in part]
            await self._connection.execute(
                queries.IMPORT_TEXTS, {"run_id": run_id, **columns, "forgotten": forgotten}
            )
        self._passed.runs.append(run_id)
        self._passed.events += passage.seq - len(known.hashes)
        self._passed.texts += len(texts)


@dataclass
class _Known:
    """What is here of a run already."""

    hashes: list[str]
    own: bool
    """It is a run of this factory."""
    grew: bool = False


def _parts(texts: Sequence[Mapping[str, Any]]) -> Iterator[Sequence[Mapping[str, Any]]]:
    for start in range(0, len(texts), _TOGETHER):
        yield texts[start : start + _TOGETHER]


def _refused(run_id: str, how: str) -> ImportRefused:
    return ImportRefused(
        f"{run_id} is here already, {how}",
        untouched="Nothing was imported",
        todo=f"See what is here with: factory audit verify {run_id}",
    )
