"""A database that is away or full, and machines that disagree with it: a run ends as if it were not so."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from tests.cli.told import PROGRAM
from tests.faults.crew import Crew
from tests.faults.playing import Place, compare

SOURCE = Path(__file__).parent.parent / "doubles" / "wrong_clock.c"
WRONG: Final = timedelta(hours=3)
AWAY: Final = 30.0
"""Seconds that the database is out of reach."""


async def cut_off_refused(workers: Crew, _: int) -> None:
    """Nobody reaches the database for a while, and is told so at once."""
    for line in workers.lines:
        line.cut()
    await asyncio.sleep(AWAY)
    for line in workers.lines:
        line.mend()


async def cut_off_in_silence(workers: Crew, _: int) -> None:
    """Nobody hears of the database for a while; then what was on its way arrives."""
    for line in workers.lines:
        line.silence()
    await asyncio.sleep(AWAY)
    for line in workers.lines:
        line.mend()


@pytest.mark.slow
@pytest.mark.parametrize("cut_off", [cut_off_refused, cut_off_in_silence])
async def test_workers_go_on_by_themselves_when_the_database_was_cut_off_for_thirty_seconds(
    cut_off: Any, place: Place
) -> None:
    played = await compare(place, cut_off, seed=1, lines=True)
    assert played.overtaken


class _Elsewhere:
    """Workers on machines whose clocks are wrong."""

    def __init__(self, library: Path) -> None:
        self._library = library
        self.seconds = WRONG.total_seconds()
        """How far the clocks are ahead of those that are started now."""

    def start(self, settings: Mapping[str, Any]) -> Any:
        """Start the next one."""
        environment = {
            **os.environ,
            **{f"FACTORY_{name.upper()}": _told(value) for name, value in settings.items()},
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "LD_PRELOAD": str(self._library),
            "WRONG_CLOCK_SECONDS": f"{self.seconds:.0f}",
        }
        process = subprocess.Popen([*PROGRAM, "worker", "--jobs", "2"], env=environment)
        process.join = process.wait  # type: ignore[attr-defined]
        return process


def _told(value: Any) -> str:
    return os.pathsep.join(map(str, value)) if isinstance(value, list) else str(value)


@pytest.fixture
def elsewhere(tmp_path: Path) -> _Elsewhere:
    """Machines whose clocks are wrong."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("a wrong clock needs a C compiler")
    library = tmp_path / "wrong_clock.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, SOURCE, "-ldl"], check=True)
    environment = {"LD_PRELOAD": str(library), "WRONG_CLOCK_SECONDS": "-10800", "PATH": os.environ["PATH"]}
    said = subprocess.check_output([sys.executable, "-c", "import time; print(time.time())"], env=environment)
    assert abs(time.time() - float(said) - WRONG.total_seconds()) < 60
    return _Elsewhere(library)


@pytest.mark.slow
async def test_a_run_ends_as_ever_on_machines_whose_clocks_are_three_hours_wrong(
    place: Place, elsewhere: _Elsewhere
) -> None:
    """First all clocks are ahead; from some moment on, all who go on with it are behind."""

    async def replace_all(workers: Crew, _: int) -> None:
        elsewhere.seconds = -elsewhere.seconds
        for each in range(len(workers.processes)):
            await workers.kill(each)

    played = await compare(place, replace_all, seed=1, start=elsewhere.start)
    assert played.overtaken
    assert elsewhere.seconds < 0


@pytest.mark.slow
def test_a_run_goes_on_by_itself_when_the_disk_of_the_database_has_room_again(tmp_path: Path) -> None:
    alone = ["unshare", "--user", "--map-root-user", "--mount"]
    if shutil.which("unshare") is None or subprocess.run([*alone, "true"], check=False).returncode:
        pytest.skip("a small disk needs a user namespace of its own")
    done = subprocess.run(
        [*alone, sys.executable, "-m", "tests.faults.full_disk", str(tmp_path)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-5000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["refused"], "a run that could not be recorded was accepted"
    assert told["runs"] == 2
    assert told["disturbed"] == told["undisturbed"]
    assert told["undisturbed"]["status"] == "completed"
