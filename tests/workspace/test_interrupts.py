"""Ctrl-C at a terminal reaches its foreground group: the factory, and none of the commands that it runs.

A git or a check that died of it would be a failure of its stage before the factory has ended anything.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import psutil

from workspace.git import Git
from workspace.sandbox import Sandbox

MARK = f"sleep 29.{os.getpid()}"  # of this process: others test beside it


def _left() -> bool:
    """Whether a sleeper lives on whose command was given up."""
    return any(one.info["cmdline"] == MARK.split() for one in psutil.process_iter(["cmdline"]))


async def _of_the_factory(mark: str) -> list[psutil.Process]:
    """The processes below this one whose command line has `mark`, as soon as there are any."""
    async with asyncio.timeout(30):
        while True:
            found: list[psutil.Process] = []
            for process in psutil.Process().children(recursive=True):
                try:
                    if mark in " ".join(process.cmdline()):
                        found.append(process)
                except psutil.NoSuchProcess:
                    continue
            if found:
                return found
            await asyncio.sleep(0.02)


async def test_neither_git_nor_a_sandboxed_command_is_in_the_terminals_group(
    sandbox: Sandbox, folder: Path
) -> None:
    git = Git(folder / ".git", work_tree=folder)
    working = [
        asyncio.create_task(git("-c", f"alias.wait=!{MARK}; true", "wait")),
        asyncio.create_task(sandbox.run(f"{MARK}; true", folder)),
    ]
    try:
        for program in ("git", "bwrap"):
            async with asyncio.timeout(30):
                while not any(one.name() == program for one in await _of_the_factory(MARK)):
                    await asyncio.sleep(0.02)
        groups = {os.getpgid(process.pid) for process in await _of_the_factory(MARK)}
        assert os.getpgid(0) not in groups
        assert not any(task.done() for task in working)
    finally:
        for task in working:
            task.cancel()
        await asyncio.gather(*working, return_exceptions=True)
    assert not await asyncio.to_thread(_left)
