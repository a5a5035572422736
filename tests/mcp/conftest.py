"""A real server process over HTTP for the tests of a module, and clients of the SDK."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.settings import Settings
from tests.mcp.clients import PROGRAM, Served

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
    with subprocess.Popen(
        [*PROGRAM, "mcp", "workspace", "--http", "127.0.0.1:0"],
        env=environment(home),
        cwd=home,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        assert line.startswith("Listening at "), line + process.stderr.read()
        yield Served.at(line.split()[-1], Settings(home=home), environment(home))
        process.terminate()
        assert process.wait(timeout=20) in (0, -15)
