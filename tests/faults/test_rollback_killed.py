"""A rollback that is killed in the middle ends the same: by being repeated, or by resuming the run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from core.audit import verify
from core.settings import Settings
from graph.rollback import RollbackUnfinished
from graph.runner import Factory
from tests.doubles.ollama_server import OllamaServer
from tests.faults import worker
from tests.graph.test_rollback import assert_they_agree, finished, git, to_the_end
from tests.packs.brain import brain
from tests.sampling import some

PACKS = Path(__file__).parent.parent / "packs"


@pytest.fixture
def small(ollama_server: OllamaServer, factory_env: Mapping[str, str], tmp_path: Path) -> dict[str, Any]:
    ollama_server.brain = brain()
    return {
        "home": tmp_path / "home",
        "database_url": factory_env["FACTORY_DATABASE_URL"],
        "pack": "small",
        "pack_dirs": [PACKS],
        "ollama_url": ollama_server.url,
    }


@pytest.mark.parametrize("stage", ["maker", pytest.param("painter", marks=pytest.mark.slow)])
@pytest.mark.parametrize("point", some(["begun", "kept", "repository", "state", "memory"], of=5))
async def test_a_rollback_that_is_killed_ends_the_same(point: str, stage: str, small: dict[str, Any]) -> None:
    async with Factory.open(Settings(**small)) as factory:
        run_id = await finished(factory)
        repository = await factory.services.repository(run_id)
        product, head = await repository.product("refs/heads/main"), await repository.run_head(run_id)
        assert worker.roll_back(small, run_id, stage, crash_at=f"rollback.{point}") == -9
        if stage == "maker":  # repeated; otherwise the run is driven on, which finishes it first
            with pytest.raises(RollbackUnfinished):
                await factory.roll_back(run_id, "scout", by="Ada")
            await factory.roll_back(run_id, stage, by="Ada")
            await assert_they_agree(factory, run_id, stage, head)
        await to_the_end(factory, run_id)
        (told,) = await factory.events.read(run_id, kinds=["run.rolled_back"])
        assert told.payload["by"] == "a person who is cut off"
        assert await repository.product("refs/heads/main") == product
        assert git(factory, "rev-parse", f"refs/factory/{run_id}/rolled-back/1/head") == head
        assert (await verify(factory.db, run_id)).ok
