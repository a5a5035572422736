"""A recalled memory as a model is told it: marked, on one line, with where it is from."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, Self

from core.json import JsonObject
from memory.extraction.echoes import MARK, mark
from memory.records import Recalled
from memory.words import seen

_LINE: Final = re.compile(rf"^> - {MARK.pattern} \(\w+\) (?P<text>.*) — [^—\n]+$", re.MULTILINE)
_OF_PAGE: Final = re.compile(rf"^> - (?P<text>.*?)(?: {MARK.pattern})+$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Told:
    """A memory in a recall set, as the audit keeps it."""

    id: int
    kind: str
    text: str
    score: float
    bank: str
    """Its name: a team, or what all teams share."""
    run_id: str
    seq: int
    stage: str
    path: str | None
    line: int | None

    @classmethod
    def of(cls, hit: Recalled, bank: str) -> Self:
        """A memory that a bank has found."""
        memory, source = hit.memory, hit.memory.source
        return cls(
            id=memory.id,
            kind=memory.kind.value,
            text=memory.text,
            score=round(hit.score, 4),
            bank=bank,
            run_id=source.run_id,
            seq=source.seq,
            stage=source.stage,
            path=source.path,
            line=source.line,
        )

    @classmethod
    def read(cls, kept: Any) -> Self:
        """One of a recall set in the audit."""
        given = {name: kept[name] for name in ("id", "kind", "text", "score", "bank")}
        return cls(**given, **kept["source"])

    def kept(self) -> JsonObject:
        """For the audit."""
        source: JsonObject = {
            "run_id": self.run_id,
            "seq": self.seq,
            "stage": self.stage,
            "path": self.path,
            "line": self.line,
        }
        return {
            "id": self.id,
            "kind": self.kind,
            "text": self.text,
            "score": self.score,
            "bank": self.bank,
            "source": source,
        }

    @property
    def place(self) -> str:
        """Run, stage, and file with line where there is one."""
        file = f", {self.path}:{self.line}" if self.path else ""
        return f"{self.run_id}, {self.stage}{file}"

    @property
    def sentence(self) -> str:
        """The line for a model. It belongs behind `> `, as does everything that somebody else wrote."""
        return f"- {mark(self.id)} ({self.kind}) {seen(self.text)} — {seen(self.place)}"


def recalled_in(texts: Iterable[str]) -> list[str]:
    """The memories that messages told a model, by their lines."""
    return [found["text"] for text in texts for line in (_LINE, _OF_PAGE) for found in line.finditer(text)]
