"""Objects are objects again in checkpoints that a text was cut out of.

When a text was forgotten, LangGraph's objects were once packed as maps of their code and their data: whatever
read them was given no message any more, but a map. Nothing of them was lost, so they can be put back.
"""

from __future__ import annotations

from typing import Any, cast

import ormsgpack
import psycopg
from alembic import op

revision = "0030"
down_revision = "0029"

# What such a map begins with, however deep it lies. Values of the factory's runs hold no map like it.
_MAP = b"\x82\xa4code"
_FOUND = """
SELECT ctid::text, blob FROM factory.{table}
WHERE type = 'msgpack' AND position(%s::bytea IN blob) > 0 AND thread_id IN (SELECT id FROM factory.runs)
"""
_PUT = "UPDATE factory.{table} SET blob = %s WHERE ctid = %s::tid"
_OPTIONS = ormsgpack.OPT_NON_STR_KEYS | ormsgpack.OPT_REPLACE_SURROGATES


def upgrade() -> None:
    """Mend what there is; a new database has no such tables yet."""
    connection: Any = op.get_bind().connection.dbapi_connection
    mend(connection)


def mend(connection: psycopg.Connection[Any]) -> int:
    """Put objects back into the checkpoints of the factory's runs; how many rows were mended."""
    rows = 0
    for table in ("checkpoint_blobs", "checkpoint_writes"):
        there = connection.execute("SELECT to_regclass(%s) IS NOT NULL", [f"factory.{table}"]).fetchone()
        if not there or not there[0]:
            continue
        found = connection.execute(_FOUND.format(table=table), [_MAP]).fetchall()  # pyright: ignore[reportArgumentType, reportCallIssue]
        for place, blob in found:
            if (mended := _mended(bytes(blob))) != bytes(blob):
                connection.execute(_PUT.format(table=table), [mended, place])  # pyright: ignore[reportArgumentType, reportCallIssue]
                rows += 1
    return rows


class _Object:
    """An object as LangGraph packs it: what it holds is packed again inside."""

    def __init__(self, code: int, data: bytes) -> None:
        self.code = code
        self.data = _mended(data)


def _mended(data: bytes) -> bytes:
    try:
        value = ormsgpack.unpackb(data, ext_hook=_Object, option=ormsgpack.OPT_NON_STR_KEYS)
    except ormsgpack.MsgpackDecodeError:
        return data
    return ormsgpack.packb(_walked(value), default=_packed, option=_OPTIONS)


def _walked(value: Any) -> Any:
    if isinstance(value, dict):
        items = cast("dict[Any, Any]", value)
        if list(items) == ["code", "data"] and type(items["code"]) is int and type(items["data"]) is bytes:
            return _Object(items["code"], items["data"])
        return {key: _walked(item) for key, item in items.items()}
    return [_walked(item) for item in cast("list[Any]", value)] if isinstance(value, list) else value


def _packed(value: Any) -> ormsgpack.Ext:
    if isinstance(value, _Object):
        return ormsgpack.Ext(value.code, value.data)
    raise TypeError(f"{type(value).__name__} is nothing that was unpacked")
