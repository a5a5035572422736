"""The interfaces in a stage's files: operations of an HTTP API, tables of a database, who speaks of them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from core.json import is_object
from memory.extraction.claims import Claim
from memory.records import Kind

METHODS: Final = ("get", "post", "put", "patch", "delete")
_MOST_COLUMNS: Final = 40
_LONGEST_LABEL: Final = 200

_ROUTE: Final = re.compile(
    r"\b(?:app|api|router|routes|bp|blueprint|server)\.(?P<method>get|post|put|patch|delete)\(\s*"
    r"[\"'](?P<path>/[^\"'\s]{0,200})[\"']"
)
_MENTION: Final = re.compile(r"\b(?P<method>GET|POST|PUT|PATCH|DELETE) (?P<path>/[\w{}<>:./-]{0,200})")
_TABLE: Final = re.compile(
    r"\bCREATE\s+TABLE\s+(?:IF\s+NOT\s+EXISTS\s+)?[\"`\[]?(?P<name>[\w.]{1,100})[\"`\]]?\s*\(", re.IGNORECASE
)
_COLUMN: Final = re.compile(r"^[\"`\[]?(?P<name>\w+)[\"`\]]?\s+(?P<type>[A-Za-z]+(?:\(\d+(?:,\s*\d+)?\))?)")
_REFERS: Final = re.compile(r"\bREFERENCES\s+[\"`\[]?([\w.]+)", re.IGNORECASE)
_NO_COLUMN: Final = frozenset(
    {"primary", "foreign", "unique", "check", "constraint", "key", "index", "exclude"}
)
_PARAMETER: Final = re.compile(r"\{[^}]*\}|<[^>]*>|:\w+")


def operation(method: str, path: str) -> str:
    """The subject of an operation, whatever its parameters are called."""
    plain = _PARAMETER.sub("{}", path.rstrip("/.,:;") or "/")
    return f"interface:{method.upper()} {plain}"


def read(files: Mapping[str, str]) -> list[Claim]:
    """The claims in these files (path: text), each once; what is declared before what is only spoken of."""
    claims: dict[str, Claim] = {}
    for path, text in sorted(files.items()):
        for claim in (*_openapi(path, text), *_tables(path, text), *_routes(path, text)):
            claims.setdefault(claim.subject or claim.text, claim)
    declared = {claim.subject for claim in claims.values()}
    for path, text in sorted(files.items()):
        for claim in _mentions(path, text):
            if str(claim.subject).replace("use:", "interface:", 1) not in declared:
                claims.setdefault(str(claim.subject), claim)
    return list(claims.values())


def declares(path: str, text: str) -> str:
    """The beginning of the subjects that the file declares as a whole: what it leaves out is not there.

    Empty for a file that declares nothing: an interface in code may be spread over several.
    """
    if path.endswith(".json") and '"openapi"' in text[:2000] and _document(text) is not None:
        return "interface:"
    return "table:" if path.endswith((".sql", ".ddl")) and _TABLE.search(text) else ""


def _document(text: str) -> dict[str, Any] | None:
    try:
        parsed: Any = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not is_object(parsed) or "openapi" not in parsed or not is_object(parsed.get("paths")):
        return None
    return parsed


def _openapi(path: str, text: str) -> Iterator[Claim]:
    if not path.endswith(".json") or '"openapi"' not in text[:2000]:
        return
    document = _document(text)
    if document is None:
        return
    at = 0
    for route, methods in document["paths"].items():
        place = text.find(json.dumps(route), at)
        at = max(at, place)
        if not is_object(methods):
            continue
        for method in METHODS:
            described: Any = methods.get(method)
            if is_object(described):
                start = max(0, text.find(f'"{method}"', at))
                said = _said_of(method, str(route), described)
                yield _claim(said, operation(method, str(route)), path, text, start, start + len(method) + 2)


def _said_of(method: str, route: str, described: Mapping[str, Any]) -> str:
    summary = _label(described.get("summary") or described.get("operationId") or "")
    answers: Any = described.get("responses")
    codes = ", ".join(str(code) for code in answers)[:100] if is_object(answers) else ""
    text = f"`{method.upper()} {route}`" + (f": {summary}" if summary else " is an operation")
    return text + (f" (answers {codes})" if codes else "")


def _routes(path: str, text: str) -> Iterator[Claim]:
    if not path.endswith((".py", ".js", ".ts", ".mjs", ".go", ".rb")):
        return
    for found in _ROUTE.finditer(text):
        said = f"`{found['method'].upper()} {found['path']}` is an operation"
        subject = operation(found["method"], found["path"])
        yield _claim(said, subject, path, text, found.start(), found.end())


def _mentions(path: str, text: str) -> Iterator[Claim]:
    if path.endswith(".json"):
        return
    for found in _MENTION.finditer(text):
        route = found["path"].rstrip("/.,:;") or "/"
        said = f"`{found['method']} {route}` is used in {path}"
        subject = operation(found["method"], route).replace("interface:", "use:", 1)
        yield _claim(said, subject, path, text, found.start(), found.end())


def _tables(path: str, text: str) -> Iterator[Claim]:
    if not path.endswith((".sql", ".py", ".ddl")):
        return
    for found in _TABLE.finditer(text):
        body = _body(text, found.end())
        plain = re.sub(r"--[^\n]*", "", body)
        columns = [column for part in _parts(plain) if (column := _column(part))]
        said = f"Table {found['name']}: {', '.join(columns[:_MOST_COLUMNS]) or 'no columns'}"
        subject = f"table:{found['name'].casefold()}"
        yield _claim(said, subject, path, text, found.start(), found.end() + len(body))


def _body(text: str, start: int) -> str:
    """What stands between the bracket before `start` and the one that closes it."""
    depth = 1
    for place in range(start, min(len(text), start + 20_000)):
        depth += (text[place] == "(") - (text[place] == ")")
        if depth == 0:
            return text[start:place]
    return text[start : start + 20_000]


def _parts(body: str) -> Iterator[str]:
    """The definitions of a table, split at the commas that stand in no bracket."""
    depth, last = 0, 0
    for place, char in enumerate(body):
        depth += (char == "(") - (char == ")")
        if char == "," and depth == 0:
            yield body[last:place]
            last = place + 1
    yield body[last:]


def _column(definition: str) -> str:
    plain = definition.strip()
    found = _COLUMN.match(plain)
    if not found or found["name"].casefold() in _NO_COLUMN:
        return ""
    refers = _REFERS.search(plain)
    return f"{found['name']} {found['type']}" + (f" → {refers[1]}" if refers else "")


def _claim(said: str, subject: str, path: str, text: str, start: int, end: int) -> Claim:
    line = text.count("\n", 0, start) + 1
    return Claim(said, Kind.FACT, subject, path, line, start, end)


def _label(text: object) -> str:
    return " ".join(str(text).split())[:_LONGEST_LABEL]
