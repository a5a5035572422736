"""What the end-to-end tests share: a factory on a played Ollama whose model is impatient, and a person."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from core.audit import verify
from core.settings import Settings
from governance.approvals import Approval
from graph.driver import Outcome
from graph.runner import Factory
from graph.summary import StageSummary
from tests.doubles.fixtures import ollama_server  # noqa: F401  (a fixture)
from tests.doubles.ollama_server import OllamaServer
from tests.models.conftest import toml

PACKS = Path(__file__).parent.parent / "packs"

IMPATIENT: dict[str, dict[str, Any]] = {
    "retry": {"attempts": 2, "first_seconds": 0.001, "longest_seconds": 0.002},
    "limits": {"probe_seconds": 10, "silence_seconds": 10, "call_seconds": 20},
}
"""A models file under which nothing waits."""

OpenFactory = Callable[..., AbstractAsyncContextManager[Factory]]


@pytest.fixture
def open_factory(
    ollama_server: OllamaServer,  # noqa: F811
    factory_env: Mapping[str, str],
    tmp_path: Path,
) -> OpenFactory:
    """Opens a factory; a second one is another process's view of the same runs.

    `limits` go over those of IMPATIENT, `models` are the models file's; every other keyword is a setting.
    """

    @asynccontextmanager
    async def opened(
        *,
        limits: Mapping[str, Any] | None = None,
        models: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> AsyncIterator[Factory]:
        catalogue = {**IMPATIENT, "limits": {**IMPATIENT["limits"], **(limits or {})}, "models": models or {}}
        file = tmp_path / "models.toml"
        file.write_text(toml(catalogue), encoding="utf-8")
        settings: dict[str, Any] = {
            "home": tmp_path / "home",
            "database_url": factory_env["FACTORY_DATABASE_URL"],
            "pack": "small",
            "pack_dirs": [PACKS],
            "ollama_url": ollama_server.url,
            "models_file": file,
        }
        async with Factory.open(Settings(**(settings | more))) as factory:
            yield factory

    return opened


def escalations(outcome: Outcome) -> list[Approval]:
    """The questions of stages that cannot go on by themselves."""
    return [approval for approval in outcome.waiting if approval.kind == "escalation"]


async def stages(factory: Factory, run_id: str) -> dict[str, StageSummary]:
    """The stages of a run by team."""
    return {stage.team: stage for stage in (await factory.summary(run_id)).stages}


async def guide(factory: Factory, outcome: Outcome, text: str = "go on") -> None:
    """Answer every open escalation with guidance."""
    for approval in escalations(outcome):
        await factory.answer(approval.id, "respond", text, by="a person")


async def to_the_end(factory: Factory, run_id: str) -> Outcome:
    """Drive on, approving what is asked, until the run ends or something stands in its way."""
    outcome = await factory.drive(run_id)
    while outcome.waiting and not escalations(outcome):
        for approval in outcome.waiting:
            decision = "approve" if "approve" in approval.allowed else "respond"
            await factory.answer(approval.id, decision, approval.default_answer, by="a person")
        outcome = await factory.drive(run_id)
    return outcome


async def released(factory: Factory, run_id: str) -> dict[str, str]:
    """The files of a run that is completed, as they stand on main. Its chain of events is whole."""
    summary = await factory.summary(run_id)
    assert summary.status == "completed", summary
    assert {stage.verdict for stage in summary.stages} <= {"pass", "skipped"}
    await assert_nothing_lost(factory, run_id)
    repository = await factory.services.repository(run_id)
    commit = "refs/heads/main"
    return {path: await repository.read(commit, path) or "" for path in await repository.files(commit)}


async def on_branch(factory: Factory, run_id: str) -> list[str]:
    """The files on the run's branch."""
    repository = await factory.services.repository(run_id)
    return await repository.files(await repository.run_head(run_id))


async def assert_nothing_lost(factory: Factory, run_id: str) -> None:
    """The events of a run stand without a gap, and the chain holds."""
    numbers = [event.seq for event in await factory.events.read(run_id)]
    assert numbers == list(range(1, len(numbers) + 1))
    report = await verify(factory.db, run_id)
    assert report.ok, report
