"""Forgetting a memory takes it out of every version of every page (an `Elsewhere` of memory/lineage)."""

from __future__ import annotations

from memory.lineage.forgetting import Forgetting
from memory.mental_models.service import MentalModels
from memory.service import Memories


async def take_out(memories: Memories, forgetting: Forgetting) -> None:
    """Take the memories that are being forgotten, and what says their texts, out of all pages."""
    await MentalModels(memories).forget(forgetting.memories, forgetting.texts)
