"""The decisions in a stage's files: architecture decision records in Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from memory.extraction.claims import Claim
from memory.records import Kind

_FOLDER: Final = re.compile(r"(?:^|/)(?:adrs?|decisions?)/[^/]+\.md$", re.IGNORECASE)
_INDEX: Final = re.compile(r"(?:^|/)(?:readme|index|template)\.md$", re.IGNORECASE)
_TITLE: Final = re.compile(r"^# +(?P<title>.+)$", re.MULTILINE)
_NUMBER: Final = re.compile(r"^(?:ADR[ -]*)?\d+[.:)]?\s+|^(?:ADR[ -]*)\d+[.:)]\s*", re.IGNORECASE)
_STATUS: Final = re.compile(
    r"^(?:[*-] )?\**status\**:?\**[ \t]*\n*[ \t]*(?P<status>[^\n]+)|^## +status\s+(?P<below>[^\n]+)",
    re.IGNORECASE | re.MULTILINE,
)
_DECISION: Final = re.compile(
    r"^##+ +(?:decision|besluit|beslissing)\b[^\n]*\n(?P<body>.*?)(?=^##? |\Z)", re.I | re.M | re.S
)
_PAST: Final = re.compile(
    r"\b(?:superseded|deprecated|rejected|withdrawn|vervangen|verworpen)\b", re.IGNORECASE
)
_OPEN: Final = re.compile(r"\b(?:proposed|draft|voorstel)\b", re.IGNORECASE)
_LONGEST: Final = 1_000


def is_record(path: str) -> bool:
    """Whether the file is an architecture decision record, by where it lies."""
    return _FOLDER.search(path) is not None and _INDEX.search(path) is None


def read(files: Mapping[str, str]) -> list[Claim]:
    """One claim for each decision record among these files (path: text)."""
    return [claim for path, text in sorted(files.items()) if is_record(path) for claim in _record(path, text)]


def _record(path: str, text: str) -> Iterator[Claim]:
    titled = _TITLE.search(text)
    if titled is None:
        return
    title = _NUMBER.sub("", " ".join(titled["title"].split()))
    found = _STATUS.search(text)
    status = " ".join((found["status"] or found["below"] or "").split()).strip(" *_") if found else ""
    decided = _DECISION.search(text)
    start = decided.start("body") if decided else titled.start()
    body = " ".join(decided["body"].split()) if decided else ""
    said = f"{title}: {body}" if body else title
    if _PAST.search(status):
        said = f"{title}: no longer holds ({status})"
        start = found.start() if found else titled.start()
    elif _OPEN.search(status):
        said = f"Proposed, not decided: {said}"
    line = text.count("\n", 0, _first_word(text, start)) + 1
    end = decided.end("body") if decided else titled.end()
    yield Claim(_bounded(said), Kind.DECISION, f"adr:{path}", path, line, start, max(start, end))


def _first_word(text: str, start: int) -> int:
    while start < len(text) - 1 and text[start].isspace():
        start += 1
    return start


def _bounded(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1].rsplit(" ", 1)[0] + "…"
