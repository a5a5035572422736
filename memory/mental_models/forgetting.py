"""Forgetting takes lines out of every version of every page: those of a memory, and those that say a phrase.

A person's line goes too where it says such a text: they asked for it to be gone.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final

from core.database import Database
from core.incarnation import Connection
from memory.audit.phrases import Phrase
from memory.lineage.forgetting import Forgetting
from memory.mental_models import queries
from memory.mental_models.page import Line
from memory.mental_models.reading import line_of
from memory.records import place
from memory.service import Memories
from memory.words import normalised

_LEAST_PHRASE: Final = 8
"""Characters of a forgotten text that is looked for inside of lines: a shorter one is in many of them."""


async def take_out(memories: Memories, forgetting: Forgetting) -> None:
    """Take the memories that are being forgotten, and what says their texts, out of all pages."""
    ids = {memory.id for memory in forgetting.memories}
    said = {normalised(text) for text in forgetting.texts if text.strip()}
    if not ids and not said:
        return
    async with memories.db.pool.connection() as connection, connection.transaction():
        found = await connection.execute(queries.PROJECTS, {"banks": [place(one)[0] for one in ids]})
        projects = [row["project"] for row in await found.fetchall()]
        await _blank(
            connection, projects, lambda line: bool(ids & set(line.sources)) or _says(line.text, said)
        )


async def take_out_phrase(db: Database, phrase: Phrase) -> int:
    """Take every line out in which a phrase stands, whoever wrote it; gives how many there were."""
    async with db.pool.connection() as connection, connection.transaction():
        return await _blank(connection, None, lambda line: any(phrase.stands_in(line.text)))


async def _blank(connection: Connection, projects: list[str] | None, meant: Callable[[Line], bool]) -> int:
    """Blank the lines that are meant, in every version of the pages of these projects, or of all."""
    gone = 0
    pages = await connection.execute(queries.PAGES_OF_PROJECTS, {"projects": projects})
    for row in await pages.fetchall():
        lines = map(line_of, row["lines"])
        places = [number for number, line in enumerate(lines) if line.text and meant(line)]
        if places:
            gone += len(places)
            given = {"bank": row["bank"], "version": row["version"], "places": places}
            await connection.execute(queries.FORGET_LINES, given)
    return gone


def _says(text: str, said: Collection[str]) -> bool:
    line = normalised(text)
    return any(one == line or (len(one) >= _LEAST_PHRASE and one in line) for one in said)
