"""Weights of recall are settings: what is set counts, the rest is as measured, what cannot be is refused."""

from __future__ import annotations

import pytest

from core.database import Database
from core.settings import Settings
from memory.errors import MemoryRefused
from memory.service import Memories
from memory.weights import Weights
from models.embeddings.local import LocalEmbedder
from tests.memory.conftest import MakeDraft


def test_an_operators_weights_stand_beside_the_measured_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACTORY_RECALL_WEIGHTS", '{"bm25": 0.5, "neighbours": [0.2]}')
    weights = Weights.of(Settings().recall_weights)
    assert weights == Weights(bm25=0.5, neighbours=(0.2,))
    assert weights.dates == Weights().dates


@pytest.mark.parametrize(
    "given",
    [
        {"bm26": 1.0},
        {"bm25": -1.0},
        {"bm25": 1.5},
        {"bm25": float("nan")},
        {"neighbours": 0.5},
        {"dates": (1.0,)},
        {"dates": 11.0},
    ],
)
def test_a_weight_that_cannot_be_is_refused_by_its_name(given: dict[str, float | tuple[float, ...]]) -> None:
    with pytest.raises(MemoryRefused, match=f"recall_weights has {next(iter(given))}"):
        Weights.of(given)


async def test_a_part_without_weight_gives_nothing(database: Database, draft: MakeDraft) -> None:
    weights = Weights.of({"bm25": 1.0, "neighbours": (), "dates": 0.0, "speaker": 0.0})
    async with Memories.open(database, LocalEmbedder(), weights=weights) as memories:
        bank = await memories.bank("library", "qa_engineering")
        await bank.add([draft("A loan lasts 21 days."), draft("It costs nothing.")], key="a")
        recall = await bank.recall("What did backend engineering say in January 2026 about a loan?")
    assert recall.hits[0].parts == {"bm25": 1.0, "vector": 0.0}
