"""A real server process over HTTP for the tests of a module, and clients of the SDK."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.doubles.fixtures import ollama_server  # noqa: F401  (a fixture)
from tests.graph.conftest import open_small  # noqa: F401  (a fixture)
from tests.mcp.clients import Served, served_over_http

ROOT = Path(__file__).parent.parent.parent


def environment(home: Path, **more: str) -> dict[str, str]:
    """The environment of a `factory` process of its own."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("FACTORY_")}
    env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), env.get("PYTHONPATH")]))
    return env | {"FACTORY_HOME": str(home)} | more


@pytest.fixture(scope="module")
def workspace_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """`factory mcp workspace --http`, ended as a person ends it."""
    home = tmp_path_factory.mktemp("home")
    with served_over_http(["mcp", "workspace"], environment(home), home) as served:
        yield served
