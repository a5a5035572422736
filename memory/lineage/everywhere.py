"""Where a memory's text may stand outside of the banks: what forgetting has to look through."""

from __future__ import annotations

from memory.audit.forgetting import forget_phrase
from memory.lineage.forgetting import Elsewhere, Forgetting
from memory.service import Memories


async def in_audit(memories: Memories, forgetting: Forgetting) -> list[str]:
    """Cut the texts out of what the audit keeps beside the chains: briefs, results, files, recall sets."""
    left: list[str] = []
    for text in forgetting.texts:
        found = await forget_phrase(memories.db, text, why=forgetting.why, by=forgetting.by)
        left += [f"event {seq} of {run_id}: {place}" for run_id, seq, place in found.kept]
    return left


EVERYWHERE: list[Elsewhere] = [in_audit]
"""All places. What keeps texts of memories anywhere else adds itself."""
