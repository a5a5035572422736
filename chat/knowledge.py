"""What is recorded of a project and speaks of a question: memory, files, runs, decisions, with sources."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from chat.wire import artifact
from core.errors import FactoryError
from core.plain import one_line
from graph.narration import tell
from graph.runner import Factory
from memory.bank import Bank
from memory.records import SHARED
from memory.words import analyse

MOST_MEMORIES: Final = 10
MOST_FILES: Final = 8
MOST_EVENTS: Final = 10
_WINDOW: Final = 12
"""Lines of a file around the one that has most of the words."""
_LONGEST: Final = 2_000
"""Characters of one source."""
_TELLING: Final = (
    "run.created",
    "governance.assessed",
    "plan.decided",
    "clarification.answered",
    "approval.decided",
    "stage.skipped",
    "release.done",
    "run.ended",
)


_SPELT: Final = re.compile(r"[^\W\d_]{4,}")
"""Words that files are looked through for."""


@dataclass(frozen=True, slots=True)
class Source:
    """Something that is recorded, and where."""

    where: str
    """As a person reads it: `memory 17 of backend_engineering`, `src/app.py:12`, `event 40 of run …`."""
    text: str
    link: str = ""


@dataclass(frozen=True)
class Knowledge:
    """Looks up what is recorded."""

    factory: Factory

    async def projects(self) -> list[str]:
        """The projects there are, the one worked on last first."""
        runs = await self.factory.services.runs.list(200)
        return list(dict.fromkeys(run.project for run in runs))

    async def about(
        self, project: str, question: str, *, teams: tuple[str, ...] | None = None
    ) -> list[Source]:
        """What is recorded about a question: of some teams' memories, or of all."""
        words = asked_words(question)
        found = await self._memories(project, question, teams)
        return [*found, *await self._files(project, question), *await self._events(project, words)]

    async def _memories(self, project: str, question: str, teams: tuple[str, ...] | None) -> list[Source]:
        services = self.factory.services
        if not (await services.memory.settings(project)).enabled:
            return []
        memories = await services.memory.of(project, services.models.view(project=project))
        hits: list[tuple[float, Source]] = []
        for name in (*(teams if teams is not None else services.registry.ids), SHARED):
            bank = await memories.find(project, name)
            if bank is not None:
                hits += await _recalled(bank, question)
        best = sorted(hits, key=lambda hit: -hit[0])
        once = {source.text: source for _, source in reversed(best)}
        return list(reversed(once.values()))[:MOST_MEMORIES]

    async def _files(self, project: str, question: str) -> list[Source]:
        words, spelt = asked_words(question), sorted(set(_SPELT.findall(question.lower())))[:12]
        if not spelt or not self.factory.services.workspace.has(project):
            return []
        try:
            repository = await self.factory.services.project(project)
            head = await repository.main()
            paths = await repository.speaking_of(head, spelt)
            newest = (await self.factory.services.runs.of_project(project))[-1:]
            rated: list[tuple[int, Source]] = []
            for path in [path for path in paths if not path.startswith(".factory/")][:60]:
                text = await repository.read(head, path)
                if text:
                    line, count, around = _around(text, words)
                    link = artifact(newest[0].id, head, path) if newest else ""
                    rated.append((count, Source(f"{path}:{line}", around, link)))
        except FactoryError:
            return []
        return [source for _, source in sorted(rated, key=lambda one: -one[0])[:MOST_FILES]]

    async def _events(self, project: str, words: frozenset[int]) -> list[Source]:
        rated: list[tuple[int, int, Source]] = []
        for age, run in enumerate(reversed(await self.factory.services.runs.of_project(project))):
            for event in await self.factory.events.read(run.id, kinds=_TELLING):
                text = one_line(tell(event), 400)
                count = len(words & asked_words(text))
                if count:
                    rated.append((count, -age, Source(f"event {event.seq} of {run.id}", text)))
            if age >= 20:
                break
        return [source for _, _, source in sorted(rated, key=lambda one: one[:2], reverse=True)[:MOST_EVENTS]]


async def _recalled(bank: Bank, question: str) -> list[tuple[float, Source]]:
    recall = await bank.recall(question[:2_000], limit=4)
    return [
        (hit.score, Source(f"memory {hit.memory.id} of {bank.name}", one_line(hit.memory.text, 600)))
        for hit in recall.hits
    ]


def asked_words(text: str) -> frozenset[int]:
    """The words that a text is about, as the memory's search knows them: without endings and small words."""
    return frozenset(analyse(text).impacts)


def _around(text: str, words: frozenset[int]) -> tuple[int, int, str]:
    """The line (from 1) with most of the words, how many of them the text has there, and the lines around."""
    lines = text.splitlines()
    counts = [len(words & asked_words(line)) for line in lines]
    best = max(range(len(lines)), key=lambda at: counts[at], default=0)
    start = max(0, best - _WINDOW // 2)
    part = lines[start : start + _WINDOW]
    together = len(words & asked_words("\n".join(part)))
    return best + 1, together, "\n".join(part)[:_LONGEST]
