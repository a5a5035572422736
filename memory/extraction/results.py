"""The claims of a stage's own result, held against what was really there.

What a team calls a fact is one where a file of its work or the output of a tool bears it out; otherwise it is
what the team experienced. An assumption never is a fact.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Final

from memory.evidence import Support, Text, locate
from memory.extraction.claims import Claim, bounded
from memory.extraction.echoes import Echoes
from memory.extraction.subjects import subject_of
from memory.records import Kind

_LISTING: Final = frozenset(
    {"files", "file", "written", "wrote", "created", "added", "updated", "and", "deliverables"}
)
_PATH: Final = re.compile(r"[\w.*{}-]*[/.][\w./*{}-]+")
_ANSWERED: Final = re.compile(r"^(?:person|[a-z_]+) answered: ", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Result:
    """What of a TaskResult is worth reading."""

    facts: tuple[str, ...] = ()
    assumptions: tuple[str, ...] = ()
    blockers: tuple[str, ...] = ()


@dataclass(slots=True)
class Read:
    """The claims, and how many were left out and why."""

    claims: list[Claim] = field(default_factory=list[Claim])
    unsupported: int = 0
    """Called facts by the team, and kept as its experience."""
    echoes: int = 0
    """Repetitions of what was recalled: not kept."""


def read(result: Result, texts: Sequence[Text], echoes: Echoes) -> Read:
    """The claims of a result; `texts` are what they are held against."""
    found = Read()
    names = {name for text in texts if text.path for name in (text.path, PurePosixPath(text.path).name)}
    for text in result.facts:
        said = bounded(text)
        if not said or _only_files(said, names) or _ANSWERED.match(said):
            continue  # a list of files is in the commit, and an answer is kept with its question
        if echoes.holds(said, texts):
            found.echoes += 1
            continue
        support = locate(said, texts)
        found.unsupported += support is None
        found.claims.append(_fact(said, support))
    for before, items in (("Assumed, not checked: ", result.assumptions), ("Was blocked: ", result.blockers)):
        for text in items:
            said = bounded(text)
            if said and echoes.holds(said):
                found.echoes += 1
            elif said:
                found.claims.append(Claim(before + said, Kind.EXPERIENCE))
    return found


def _only_files(said: str, names: Collection[str]) -> bool:
    """Whether it is a list of files and nothing else."""
    words = [word.strip("`,:;") for word in said.split()]
    return all(
        word.casefold() in _LISTING or word in names or _PATH.fullmatch(word.rstrip("."))
        for word in words
        if word
    )


def _fact(said: str, support: Support | None) -> Claim:
    if support is None:
        return Claim(said, Kind.EXPERIENCE)
    subject = subject_of(said)
    if support.path is None:
        return Claim(said, Kind.FACT, subject)
    return Claim(said, Kind.FACT, subject, support.path, support.line, support.start, support.end)
