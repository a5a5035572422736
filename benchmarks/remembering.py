"""What memory adds to a run: seventeen stages with an instant model, with memory and without, in one
process.

The engine's own measurement, less the bare graph: what a stage recalls, keeps, shares and writes down about
it is on one side and not on the other. Every stage reports facts that no run has reported before, the worst
case for what is kept; banks are there from earlier runs, as in any project but a new one. Both run in turn;
the medians are compared.
"""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any, cast

from benchmarks.engine import InstantModels, drive, still
from benchmarks.measure import Measurement
from core.settings import Settings
from graph.pipeline import build_pipeline
from graph.runner import Factory
from models.calls import Call, Reply
from workspace.project_settings import operators_file

TIMES = 9
GOAL = 1.10
FACTS = 3
"""Facts that each stage reports."""
_LONG_AGO = 1_700_000_000
_WORDS = [
    "loan",
    "member",
    "book",
    "shelf",
    "reminder",
    "fine",
    "branch",
    "reader",
    "catalogue",
    "return",
    "desk",
    "card",
    "notice",
    "queue",
    "copy",
]


class _Telling(InstantModels):
    """An instant model that reports something new each time."""

    def __init__(self) -> None:
        self._number = count(1)

    async def complete(self, alias: str, _messages: Any, *, call: Call, **more: Any) -> Reply:
        """As usual, with facts in the report."""
        reply = await super().complete(alias, _messages, call=call, **more)
        if call.kind != "report":
            return reply
        result = json.loads(str(reply.message.content)) | {"verified_facts": self._facts()}
        return replace(reply, message=reply.message.model_copy(update={"content": json.dumps(result)}))

    def _facts(self) -> list[str]:
        facts: list[str] = []
        for _ in range(FACTS):
            number = next(self._number)
            some = [_WORDS[(number * step) % len(_WORDS)] for step in (1, 2, 4, 7)]
            facts.append(
                f"Rule {number}: the {some[0]} of a {some[1]} goes to the {some[2]} before the {some[3]}."
            )
        return facts


def measure() -> Iterator[Measurement]:
    """Yield the measurement."""
    ours, without = asyncio.run(_measure())
    yield Measurement("memory in a run of 17 stages", ours, "s", goal=GOAL, baseline=without)


async def _measure() -> tuple[float, float]:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        async with Factory.open(Settings(home=Path(home), model="offline")) as factory:
            services = replace(still(factory), models=cast(Any, _Telling()))
            graph = build_pipeline(services, factory.pipeline("full"), factory.checkpointer)
            taken: dict[bool, list[float]] = defaultdict(list)
            await drive(factory, services, graph)
            for number in range(TIMES):
                # Each in its turn first: the second of a pair meets warmer caches.
                for remembers in (True, False) if number % 2 else (False, True):
                    _switch(Path(home), remembers=remembers)
                    taken[remembers].append(await drive(factory, services, graph))
            return median(taken[True]), median(taken[False])


def _switch(home: Path, *, remembers: bool) -> None:
    file = operators_file(home, "bench")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"[memory]\nenabled = {str(remembers).lower()}\n", encoding="utf-8")
    # As settings are that were made a while ago: those of this second are read each time.
    os.utime(file, (_LONG_AGO, _LONG_AGO))
