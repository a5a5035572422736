"""`factory serve`: seconds from its start to /ready, and the memory of the idle process.

The database is initialised and runs already, as where the machine was not restarted. Both goals are absolute:
an operator waits for the one, and pays for the other.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measure import Measurement
from core.postgres import EmbeddedPostgres

_PATIENCE = 60.0
_IDLE = 3.0  # seconds, after which nothing of the start is under way any more


def measure() -> Iterator[Measurement]:
    """Yield the measurements."""
    with tempfile.TemporaryDirectory(prefix="factory-bench-", ignore_cleanup_errors=True) as folder:
        home = Path(folder) / "home"
        share = EmbeddedPostgres.acquire(home)
        try:
            _start(home)  # migrates
            seconds, megabytes = _start(home)
        finally:
            share.release()
    yield Measurement("factory serve: start to ready", seconds, "s", goal=5.0)
    yield Measurement("factory serve: memory when idle", megabytes, "MB", goal=300.0)


def _start(home: Path) -> tuple[float, float]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FACTORY_")}
    environment |= {"FACTORY_HOME": str(home), "PYTHONPATH": os.getcwd(), "FACTORY_MODEL": "offline"}
    program = "from cli.main import main; main()"
    began = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-c", program, "serve", "--listen", "127.0.0.1:0"],
        stderr=subprocess.PIPE,
        env=environment,
        cwd=home.parent,
        text=True,
    ) as server:
        assert server.stderr is not None
        try:
            url = next(line.split()[-1] for line in server.stderr if line.startswith("Listening at "))
            _until_ready(f"{url}/ready", began + _PATIENCE)
            seconds = time.perf_counter() - began
            time.sleep(_IDLE)
            return seconds, _resident(server.pid)
        finally:
            server.terminate()
            server.stderr.read()


def _until_ready(url: str, end: float) -> None:
    while time.perf_counter() < end:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.02)
    raise TimeoutError("the service does not get ready")


def _resident(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) / 1000
