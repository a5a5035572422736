"""Processes forked from one that has imported what the factory imports, which takes seconds of computing."""

from __future__ import annotations

import multiprocessing
import os
from multiprocessing import forkserver
from pathlib import Path

context = multiprocessing.get_context("forkserver")
_PRELOADED = ["tests.faults.worker", "tests.cli.process"]


def start_server() -> None:
    """Have the fork server of this process running."""
    # That of Python 3.11 imports its preload without our sys.path, and hides that it failed.
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(Path(__file__).parents[1])
    try:
        context.set_forkserver_preload(_PRELOADED)
        forkserver.ensure_running()
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before
