"""A run that workers drive goes on once it is answered, also where another process records the answer."""

from __future__ import annotations

import pytest

from cli import deciding
from graph.queue.driving import Dispatch
from graph.runner import Factory
from tests.graph.conftest import OpenSmall
from tests.graph.queue.conftest import until
from tests.graph.writing import LIBRARY, REQUIREMENT, Writer


async def status(factory: Factory, run_id: str) -> str:
    return (await factory.services.run(run_id)).status


@pytest.mark.parametrize("served", [True, False])
async def test_an_answer_that_is_only_recorded_is_enough_for_a_run_that_workers_drive(
    open_small: OpenSmall,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    served: bool,
) -> None:
    async with open_small(Writer().rules(), pack="tiny") as factory:
        settings = factory.settings
        monkeypatch.setenv("FACTORY_HOME", str(settings.home))
        assert settings.database_url is not None
        monkeypatch.setenv("FACTORY_DATABASE_URL", settings.database_url.get_secret_value())

        async def answered(run_id: str) -> str:
            async def asks() -> bool:
                return await status(factory, run_id) == "awaiting_input"

            await until(asks, 60)
            [review] = await factory.approvals.pending(run_id)
            await deciding.decide(review.id, "approve", None, go_on=False, as_json=False)
            return capsys.readouterr().out

        if served:
            async with Dispatch.open(factory) as dispatch, dispatch.working(1):
                run_id = await factory.submit(REQUIREMENT, project=LIBRARY)
                assert "goes on with the run as soon as one is free" in await answered(run_id)

                async def over() -> bool:
                    return await status(factory, run_id) == "completed"

                await until(over, 60)
        else:
            run_id = await factory.submit(REQUIREMENT, project=LIBRARY)
            await factory.drive(run_id)
            assert f"Continue the run with: factory resume {run_id}" in await answered(run_id)
            assert await status(factory, run_id) == "awaiting_input"
