"""A run whose product has dependencies survives SIGKILL: while one is asked about, or installed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from core import clock
from core.settings import Settings
from graph.lifecycle import ENDED
from graph.runner import Factory
from tests.doubles.ollama_server import OllamaServer
from tests.doubles.wheels import wheel
from tests.faults import worker
from tests.faults.scenario import Ended, ended
from tests.graph.test_dependencies import product
from tests.packs.brain import brain
from tests.sampling import some

PACKS = Path(__file__).parent.parent / "packs"
POINTS = (
    *(f"{node}.{border}" for node in ("provide", "heard") for border in ("enter", "exit")),
    *("mail.posted", "dependencies.installed"),
)


@pytest.fixture
def needy(ollama_server: OllamaServer, factory_env: Mapping[str, str], tmp_path: Path) -> dict[str, Any]:
    """A team that needs a package which nobody has allowed yet."""
    ollama_server.brain = brain(product("gamma"))
    (tmp_path / "dependencies.toml").write_text('licences = ["MIT"]\n')
    (tmp_path / "wheelhouse").mkdir()
    wheel(tmp_path / "wheelhouse", "gamma")
    return {
        "home": tmp_path / "home",
        "database_url": factory_env["FACTORY_DATABASE_URL"],
        "pack": "needy",
        "pack_dirs": [PACKS],
        "ollama_url": ollama_server.url,
        "wheelhouse": tmp_path / "wheelhouse",
        "dependency_file": tmp_path / "dependencies.toml",
    }


@dataclass(frozen=True)
class Supplied:
    """What a run came to, with what was asked, told by mail, and installed."""

    ended: Ended
    asked: tuple[tuple[str, str | None], ...]
    mail: frozenset[str]
    installed: tuple[str, ...]
    environments: int
    left_over: tuple[str, ...]


async def play(settings: Mapping[str, Any], crash_at: str = "", trace: Path | None = None) -> Supplied:
    async with Factory.open(Settings(**settings)) as factory:
        project = clock.new_id("shop")  # what was allowed for one is not asked for it again
        run_id = await factory.submit("Small pages", project=project)
        deaths, armed, asked = 0, crash_at, list[tuple[str, str | None]]()
        for _ in range(8):
            code = await asyncio.to_thread(worker.drive, settings, run_id, crash_at=armed, trace=trace)
            if code == -9:
                deaths, armed = deaths + 1, ""
                continue
            assert code == 0
            if (await factory.services.run(run_id)).status in ENDED:
                break
            for approval in await factory.approvals.pending(run_id):
                asked.append((approval.title, approval.team))
                await factory.answer(approval.id, "approve", None, by="a test")
        mail = await (await factory.services.mail(run_id)).all()
        told = await factory.events.read(run_id, kinds=["dependency.installed"])
        folder = factory.settings.home / "projects" / project / "environments"
        kept = [path.name for path in folder.iterdir()] if folder.exists() else []
        return Supplied(
            await ended(factory, run_id, deaths),
            tuple(asked),
            frozenset(f"{each.kind} {each.subject} {each.status}" for each in mail),
            tuple(str(event.payload["packages"]) for event in told),
            sum(len(name) == 40 for name in kept),
            tuple(name for name in kept if len(name) != 40 and name.startswith(".work-")),
        )


_undisturbed: list[Supplied] = []


@pytest.fixture
async def undisturbed(needy: dict[str, Any], tmp_path: Path) -> Supplied:
    """What the run comes to when nothing dies, found out once per test process; it passes every point."""
    if not _undisturbed:
        trace = tmp_path / "trace"
        _undisturbed.append(await play(needy, trace=trace))
        assert set(POINTS) <= set(worker.points(trace))
    return _undisturbed[0]


async def test_undisturbed_it_asks_once_and_installs_once(undisturbed: Supplied) -> None:
    assert undisturbed.ended.status == "completed"
    assert undisturbed.asked[0] == ("Dependency: gamma", "builder")
    assert [title for title, _ in undisturbed.asked if title.startswith("Dependency")] == [
        "Dependency: gamma"
    ]
    assert undisturbed.installed == ("['gamma 1.0 (MIT)']",)
    assert any(each.startswith("incident Re: Dependency: gamma") for each in undisturbed.mail)


@pytest.mark.parametrize("point", some(POINTS, of=4))
async def test_a_run_killed_at_its_dependencies_ends_like_an_undisturbed_one(
    point: str, needy: dict[str, Any], undisturbed: Supplied
) -> None:
    played = await play(needy, crash_at=point)
    assert played.ended.deaths == 1
    assert replace(played, ended=replace(played.ended, deaths=0)) == undisturbed
