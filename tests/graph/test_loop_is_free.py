"""Nothing holds the event loop up in a run and its rollback: no process or folder is waited for in it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.graph.conftest import OpenSmall
from tests.graph.test_rollback import finished, to_the_end
from tests.watching import ROOT, watched

WAITING = {
    "open": "__import__('pathlib').Path(__file__).read_text()",
    "os.listdir": "__import__('os').listdir('/')",
    "subprocess.Popen": "__import__('subprocess').run(['true'])",
    "time.sleep": "__import__('time').sleep(0)",
    "fcntl.flock": "__import__('fcntl').flock(open(__file__), 2)",
    "socket.getaddrinfo": "__import__('socket').getaddrinfo('127.0.0.1', 80)",
}


async def test_a_run_and_its_rollback_never_hold_the_event_loop_up(open_small: OpenSmall) -> None:
    async with open_small() as factory:
        with watched() as seen:
            run_id = await finished(factory)
            await factory.roll_back(run_id, "maker", by="Ada")
            await to_the_end(factory, run_id)
    assert not seen, "\n".join(sorted(set(seen)))


def of_ours(statement: str, file: Path) -> Callable[[], None]:
    """A function as if it stood in our packages, whose waiting is what the watch is for."""
    code = compile(f"def wait():\n    {statement}", f"{ROOT}core/imagined.py", "exec")
    names: dict[str, Callable[[], None]] = {}
    exec(code, {"__file__": str(file)}, names)
    return names["wait"]


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("event", WAITING)
async def test_the_watch_sees_what_waits_in_the_loop_and_not_in_a_thread(event: str, tmp_path: Path) -> None:
    (tmp_path / "page").write_text("one")
    wait = of_ours(WAITING[event], tmp_path / "page")
    with watched() as seen:
        await asyncio.to_thread(wait)
        assert not seen
        process = await asyncio.create_subprocess_exec("true", stdin=asyncio.subprocess.DEVNULL)
        await process.wait()
        assert not seen, "the loop's own way of starting a process does not wait"
        wait()
    assert f"{event} in core/imagined.py:2" in seen
