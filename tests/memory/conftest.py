"""Banks in a fresh database, and drafts to put into them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio

from core.database import Database
from memory.bank import Bank
from memory.records import Draft, Kind, Source
from memory.service import Memories
from models.embeddings.local import LocalEmbedder

AT = datetime(2026, 1, 1, tzinfo=UTC)
MakeDraft = Callable[..., Draft]


@pytest.fixture
def draft() -> MakeDraft:
    """Makes a draft of a text, as a stage would."""

    def make(
        text: str,
        *,
        kind: Kind = Kind.FACT,
        subject: str | None = None,
        days: float = 0,
        session: str = "run-1/backend_engineering",
        speaker: str = "backend_engineering",
    ) -> Draft:
        source = Source("run-1", 7, "ab" * 32, "backend_engineering", "src/app.py", 12, 0, len(text))
        return Draft(text, kind, source, speaker, session, AT + timedelta(days=days), subject)

    return make


@pytest_asyncio.fixture
async def memories(database: Database) -> AsyncIterator[Memories]:
    """The memory of the test's database, with the embedder that needs no model."""
    async with Memories.open(database, LocalEmbedder()) as memories:
        yield memories


@pytest_asyncio.fixture
async def bank(memories: Memories) -> Bank:
    """An empty bank."""
    return await memories.bank("library", "backend_engineering")
