"""Rows and columns out of a file that a run made: CSV, lines of JSON, a list in JSON. Pure, and bounded.

What a model wrote is data here and stays text: nothing of it is evaluated, and the page shows it as text.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import PurePosixPath
from typing import Any, Final

from core.errors import BadInput
from core.json import is_array, is_object

MOST_ROWS: Final = 500
"""Rows that are shown; of more, their number."""
MOST_COLUMNS: Final = 40
MOST_CHARACTERS: Final = 300
"""Of a cell."""
MOST_BYTES: Final = 2_000_000
_DEEPEST: Final = 3
"""Objects within a row's object whose fields become columns, `stats.mean`."""
_ENDS: Final = (".csv", ".tsv", ".jsonl", ".ndjson", ".json")
_SETTINGS: Final = frozenset(
    {"package.json", "package-lock.json", "tsconfig.json", "openapi.json", "manifest.json", "composer.json"}
)

Cell = str | float | None
Row = Mapping[str, Any]


class NoTable(BadInput):
    """There is no table in that file."""


@dataclass(frozen=True, slots=True)
class Table:
    """What the page draws."""

    columns: list[str]
    rows: list[list[Cell]]
    numbers: list[int]
    """The columns in which nothing stands but numbers."""
    total: int
    """Rows of the file, those that are not in `rows` among them."""

    def record(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


def may_be(path: str) -> bool:
    """Whether a file's name says that there may be a table in it."""
    name = PurePosixPath(path).name
    return name.endswith(_ENDS) and not name.startswith(".") and name not in _SETTINGS


def read(path: str, text: str) -> Table:
    """The table of a file. Raises NoTable."""
    if len(text) > MOST_BYTES:
        raise NoTable("The file is too big to be shown as a table", todo="Open it as it is")
    try:
        if path.endswith((".csv", ".tsv")):
            return _of_lines(text, "\t" if path.endswith(".tsv") else None)
        if path.endswith((".jsonl", ".ndjson")):
            return _of_objects([json.loads(line) for line in text.splitlines() if line.strip()])
        return _of_json(json.loads(text))
    except (ValueError, csv.Error, RecursionError) as error:
        raise NoTable(f"The file cannot be read: {str(error)[:200]}", todo="Open it as it is") from None


def _of_lines(text: str, mark: str | None) -> Table:
    # Not by csv.Sniffer: its expressions take minutes over a text that is made for it.
    first = text.partition("\n")[0]
    mark = mark or max(",;\t|", key=first.count)
    lines = [line for line in csv.reader(io.StringIO(text), delimiter=mark) if line]
    if not lines:
        raise NoTable("There is nothing in it")
    head, *body = lines
    columns = [name.strip() or f"column {number}" for number, name in enumerate(head, start=1)]
    return _table(columns, body, len(body))


def _of_json(value: Any) -> Table:
    if is_array(value):
        return _of_objects(value)
    if is_object(value):
        lists = [part for part in value.values() if is_array(part) and part and is_object(part[0])]
        if len(lists) == 1:
            return _of_objects(lists[0])
        plain = {name: part for name, part in value.items() if not is_object(part) and not is_array(part)}
        if len(plain) > 1 and len(plain) == len(value):
            return _table(["name", "value"], [[name, part] for name, part in plain.items()], len(plain))
    raise NoTable("It holds no list of things that have the same fields", todo="Open it as it is")


def _of_objects(found: Sequence[Any]) -> Table:
    if not found:
        raise NoTable("There is nothing in it")
    if all(is_array(one) for one in found):
        columns = [f"column {number + 1}" for number in range(max(len(one) for one in found))]
        return _table(columns, found, len(found))
    if not all(is_object(one) for one in found):
        return _table(["value"], [[one] for one in found], len(found))
    flat = [dict(_fields(one)) for one in islice(found, MOST_ROWS)]
    columns = list(dict.fromkeys(name for row in flat for name in row))
    return _table(columns, [[row.get(name) for name in columns] for row in flat], len(found))


def _fields(value: Row, before: str = "", depth: int = 1) -> Iterable[tuple[str, Any]]:
    for name, part in value.items():
        if is_object(part) and depth < _DEEPEST:
            yield from _fields(part, f"{before}{name}.", depth + 1)
        else:
            yield f"{before}{name}", part


def _table(columns: Sequence[str], body: Iterable[Sequence[Any]], total: int) -> Table:
    width = min(len(columns), MOST_COLUMNS)
    rows = [
        [_cell(line[place] if place < len(line) else None) for place in range(width)]
        for line in islice(body, MOST_ROWS)
    ]
    numbers = [place for place in range(width) if _all_numbers(row[place] for row in rows)]
    for row in rows:
        for place in range(width):
            row[place] = _number(row[place]) if place in numbers else _text(row[place])
    return Table([str(name)[:MOST_CHARACTERS] for name in columns[:width]], rows, numbers, total)


def _cell(value: Any) -> Cell:
    if value is None or value == "":
        return None
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value if abs(value) < 10**15 else str(value)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text.strip()[:MOST_CHARACTERS]


def _text(value: Cell) -> str | None:
    return None if value is None else str(value)


def _number(value: Cell) -> float | None:
    try:
        found = None if value is None else float(value)
    except ValueError:
        return None
    return found if found is not None and math.isfinite(found) else None


def _all_numbers(cells: Iterable[Cell]) -> bool:
    there = [cell for cell in cells if cell is not None]
    return bool(there) and all(_number(cell) is not None for cell in there)
