"""What the tests of this package share: the tiny pack that stands in tests/packs."""

from pathlib import Path

import pytest

from teams.contract import Objective, Upstream
from teams.registry import Registry
from teams.team import Team

PACKS = Path(__file__).parents[1] / "packs"


@pytest.fixture(scope="session")
def registry() -> Registry:
    return Registry.load("tiny", [PACKS])


@pytest.fixture
def writer(registry: Registry) -> Team:
    return registry.team("writer")


@pytest.fixture
def objective(writer: Team) -> Objective:
    return Objective(
        id="run-1/writer/1",
        team="writer",
        goal="Write the text.",
        acceptance_criteria=("docs/text.md says hello",),
        inputs=(Upstream(team="checker", facts=("it rains",), files=("checks/verdict.md",)),),
        deliverables=("docs/text.md",),
        limits=writer.limits,
    )
