"""Which memories say a phrase: who has it cut out of the audit is told of them."""

from __future__ import annotations

from memory.audit.phrases import Phrase
from memory.lineage import queries
from memory.records import identity
from memory.service import Memories


async def standing_in(memories: Memories, phrase: Phrase) -> list[int]:
    """The ids of the memories of all banks in which a phrase stands, whether they hold or not."""
    banks = [info.id for info in await memories.banks()]
    if not banks:
        return []
    async with memories.db.pool.connection() as connection:
        given = {"word": f"%{phrase.plain_word}%"}
        found = await (await connection.execute(queries.with_word(banks), given)).fetchall()
    return sorted(identity(row["bank"], row["number"]) for row in found if any(phrase.stands_in(row["text"])))
