"""The timelines of runs, kept while there is room: opening a conversation reads of a log what is new."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

from chat.timeline import Timeline
from core.texts import FORGOTTEN
from graph.runner import Factory

MOST: Final = 64
"""Timelines that are kept, those that were asked for last."""
_TRIES: Final = 3


@dataclass
class Folds:
    """Brings timelines up to date."""

    factory: Factory
    _kept: OrderedDict[tuple[str, str], Timeline] = field(
        default_factory=OrderedDict[tuple[str, str], Timeline]
    )

    async def get(self, thread_id: str, run_id: str) -> Timeline:
        """A run in a conversation as it is now. It is everybody's: who changes it takes a copy."""
        key = (thread_id, run_id)
        timeline = self._kept.get(key) or Timeline(run_id, thread_id)
        news = await self.factory.events.read(run_id, after=timeline.seq)
        if timeline.seq and any(event.kind == FORGOTTEN for event in news):
            # What is to be forgotten may be in what was kept.
            timeline, news = Timeline(run_id, thread_id), await self.factory.events.read(run_id)
        for event in news:
            timeline.apply(event)
        timeline.touched()
        self._kept[key] = timeline
        self._kept.move_to_end(key)
        while len(self._kept) > MOST:
            self._kept.popitem(last=False)
        services = self.factory.services
        timeline.traced = services.models.traces and (await services.models_for(run_id, None)).traces
        await self.look_up(timeline)
        return timeline

    async def look_up(self, timeline: Timeline) -> None:
        """Read the rows of the questions that the timeline shows and does not know yet."""
        for _ in range(_TRIES):  # meanwhile another may have told the timeline of one more
            for name in timeline.wanted():
                timeline.details[name] = await self.factory.approvals.get(name)
            if not timeline.wanted():
                return
