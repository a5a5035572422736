"""Runs the LangGraph project's own SDK integration suite against a server of ours, on that suite's graphs.

    python tests/conformance/sdk_suite.py CHECKOUT [--packages FOLDER] [--workers N] [-- PYTEST ARGUMENTS]

CHECKOUT is a clone of github.com/langchain-ai/langgraph; nothing of it is kept here. Two of its graphs import
`langchain` and `deepagents`, which the factory does not need: FOLDER is where they are installed, as with
`pip install --no-deps --target FOLDER langchain deepagents wcmatch bracex`. With 2
workers and more, they execute the runs, and the server only answers.

The suite knows nothing of keys: a plugin adds ours to each request. Five of its tests have the address of a
server written in them; the plugin puts ours in its place.
"""

from __future__ import annotations

import argparse
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
START = 60
"""Seconds that the server has to start, with a database of its own to make."""

SERVER = """
import asyncio, sys
from pathlib import Path
address, graphs, token, workers = sys.argv[1:]
from api import serving
from api.protocol.serving import spoken
from core.settings import Settings
serving.secrets.token_urlsafe = lambda _=32: token
say = lambda line: print(line, file=sys.stderr, flush=True)
settings = Settings.load(model="offline")
graphs, workers = Path(graphs), int(workers)
beside = [spoken(graphs, alone=workers == 1)]
given = {"beside": beside, "workers": workers, "graphs": graphs, "model": "offline"}
asyncio.run(serving.serve(settings, address, owner="suite", announce=say, **given))
"""

PLUGIN = """
import os
import httpx
import langgraph_sdk.stream.transport.sync_ws as sync_ws
import langgraph_sdk.stream.transport.ws as ws

KEY = os.environ["SUITE_KEY"]

def keyed(cls):
    plain = cls.__init__
    def made(self, *given, **named):
        named["headers"] = {"x-api-key": KEY, **dict(named.get("headers") or {})}
        plain(self, *given, **named)
    cls.__init__ = made

keyed(httpx.Client)
keyed(httpx.AsyncClient)
plain = ws.websocket_headers
ws.websocket_headers = sync_ws.websocket_headers = lambda given: [*plain(given), ("x-api-key", KEY)]

def pytest_collection_modifyitems(items):
    for item in items:
        if hasattr(item.module, "URL"):
            item.module.URL = os.environ["LANGGRAPH_INTEGRATION_URL"]
"""


def main() -> int:
    """Start the server, run the suite, end the server; pytest's exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkout", type=Path)
    parser.add_argument("--packages", type=Path, default=Path("/nonexistent"))
    parser.add_argument("--workers", type=int, default=1)
    given, rest = parser.parse_known_args()
    suite = given.checkout / "libs" / "sdk-py"
    if not (suite / "tests" / "integration").is_dir():
        parser.error(f"{given.checkout} is no checkout of langchain-ai/langgraph")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        words = [one for one in rest if one != "--"]
        return _run(suite.resolve(), given.packages.resolve(), Path(folder), given.workers, words)


def _run(suite: Path, packages: Path, folder: Path, workers: int, rest: list[str]) -> int:
    key = secrets.token_urlsafe(32)
    address = f"127.0.0.1:{_free_port()}"
    (folder / "suite_key.py").write_text(PLUGIN)
    graphs = suite / "integration" / "langgraph.json"
    arguments = [sys.executable, "-c", SERVER, address, str(graphs), key, str(workers)]
    environment = {
        **os.environ,
        "FACTORY_HOME": str(folder / "home"),
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(packages)]),
    }
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen(arguments, env=environment, cwd=folder, stderr=log)
        try:
            _wait(server, address, folder)
            command = [sys.executable, "-m", "pytest", "-p", "suite_key", "-m", "integration"]
            command += ["-o", "addopts=", "-o", "asyncio_mode=auto", "-o", "filterwarnings=default"]
            command += ["-o", "faulthandler_timeout=60", "-o", "faulthandler_exit_on_timeout=true"]
            command += ["tests/integration", *rest]
            environment = {
                **os.environ,
                "SUITE_KEY": key,
                "PYTHONPATH": os.pathsep.join([str(folder), str(suite)]),
                "LANGGRAPH_INTEGRATION_URL": f"http://{address}",
            }
            return subprocess.run(command, cwd=suite, env=environment, check=False).returncode
        finally:
            server.terminate()
            server.wait(30)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as held:
        return int(held.getsockname()[1])


def _wait(server: subprocess.Popen[bytes], address: str, folder: Path) -> None:
    for _ in range(START * 5):
        if server.poll() is not None:
            break
        try:
            with urllib.request.urlopen(f"http://{address}/ok", timeout=1):
                return
        except OSError:
            time.sleep(0.2)
    sys.exit("The server did not start:\n" + (folder / "server.log").read_text()[-4000:])


if __name__ == "__main__":
    sys.exit(main())
