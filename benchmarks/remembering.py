"""What memory adds to a run of seventeen stages: what each recalls, keeps, shares and writes down about it.

First the offline run, as the demo has it, and a second requirement to the same project, which recalls what
the first one left: the seconds in which no sandboxed command runs, so the engine's own. The banks of the
project are made within them. Then the bare engine, as `engine` measures it, with an instant model and no
workspace: there, every stage reports facts that no run has reported before, the worst case for what is kept,
and banks are there from earlier runs; it is kept to see what each millisecond does. With memory and without
run in turn; the medians are compared.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any, cast

from benchmarks.engine import InstantModels, drive, still
from benchmarks.measure import Measurement
from benchmarks.overhead import REQUIREMENT, itself
from core.settings import Settings
from graph.pipeline import build_pipeline
from graph.runner import Factory
from models.calls import Call, Reply
from workspace.project_settings import operators_file

TIMES = 9
TIMES_OFFLINE = 5
GOAL = 1.10
GOAL_BARE = 1.5
MORE = "A member can reserve a book that is lent out, and is told when it comes back."
"""What the project is asked for in its second run."""
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
    """Yield the measurements."""
    ours, without = asyncio.run(_offline())
    name = "factory itself, two offline runs of a project, with memory and without"
    yield Measurement(name, ours, "s", goal=GOAL, baseline=without)
    ours, without = asyncio.run(_measure())
    yield Measurement(
        "bare engine, 17 stages, with memory and without", ours, "s", goal=GOAL_BARE, baseline=without
    )


async def _offline() -> tuple[float, float]:
    first = REQUIREMENT.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        async with Factory.open(Settings(home=Path(home), model="offline")) as factory:
            taken: dict[bool, list[float]] = defaultdict(list)
            for number in range(TIMES_OFFLINE):
                for remembers in _turns(number):
                    project = f"bench-{number}-{'on' if remembers else 'off'}"
                    _switch(Path(home), project, remembers=remembers)
                    spent = [await itself(factory, asked, project) for asked in (first, MORE)]
                    taken[remembers].append(sum(spent))
                    _say(remembers, spent)
            return median(taken[True]), median(taken[False])


def _turns(number: int) -> tuple[bool, bool]:
    """Each in its turn first: the second of a pair meets warmer caches."""
    return (True, False) if number % 2 else (False, True)


def _say(remembers: bool, spent: Sequence[float]) -> None:
    told = " and ".join(f"{each:.2f} s" for each in spent)
    print(f"remembering: {'with' if remembers else 'without'} memory {told}", file=sys.stderr, flush=True)


async def _measure() -> tuple[float, float]:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        async with Factory.open(Settings(home=Path(home), model="offline")) as factory:
            services = replace(still(factory), models=cast(Any, _Telling()))
            graph = build_pipeline(services, factory.pipeline("full"), factory.checkpointer)
            taken: dict[bool, list[float]] = defaultdict(list)
            await drive(factory, services, graph)
            for number in range(TIMES):
                for remembers in _turns(number):
                    _switch(Path(home), "bench", remembers=remembers)
                    taken[remembers].append(await drive(factory, services, graph))
            return median(taken[True]), median(taken[False])


def _switch(home: Path, project: str, *, remembers: bool) -> None:
    file = operators_file(home, project)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"[memory]\nenabled = {str(remembers).lower()}\n", encoding="utf-8")
    # As settings are that were made a while ago: those of this second are read each time.
    os.utime(file, (_LONG_AGO, _LONG_AGO))
