from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from core.settings import Settings
from graph.runner import Factory
from tests.doubles.fixtures import ollama_server  # noqa: F401  (a fixture)
from tests.doubles.ollama_server import OllamaServer
from tests.packs.brain import RULES, Rule, brain
from tests.proved import tried_once  # noqa: F401  (likewise)

PACKS = Path(__file__).parent.parent / "packs"

OpenSmall = Callable[..., AbstractAsyncContextManager[Factory]]


@pytest.fixture
def open_small(
    ollama_server: OllamaServer,  # noqa: F811
    factory_env: Mapping[str, str],
    tmp_path: Path,
) -> OpenSmall:
    """Opens a factory on the small pack; `rules` replace what its teams do."""

    @asynccontextmanager
    async def opened(rules: Mapping[str, Rule] | None = None, **more: Any) -> AsyncIterator[Factory]:
        ollama_server.brain = brain({**RULES, **(rules or {})})
        settings: dict[str, Any] = {
            "home": tmp_path / "home",
            "database_url": factory_env["FACTORY_DATABASE_URL"],
            "pack": "small",
            "pack_dirs": [PACKS],
            "ollama_url": ollama_server.url,
        }
        async with Factory.open(Settings(**(settings | more))) as factory:
            yield factory

    return opened
