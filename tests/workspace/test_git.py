"""How a git command is begun and ended."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from workspace.git import Git

LONG = "0123456\n" * 100_000


@pytest.fixture
async def git(tmp_path: Path) -> Git:
    git = Git(tmp_path / ".git", work_tree=tmp_path)
    await git("init", "-q")
    return git


async def test_a_git_whose_output_is_not_wanted_any_more_is_ended(git: Git) -> None:
    blob = (await git("hash-object", "-w", "--stdin", stdin=LONG.encode())).text
    async with asyncio.timeout(30):
        async with git.running("cat-file", "blob", blob) as process:
            assert process.stdout is not None
            assert await process.stdout.read(7) == LONG[:7].encode()
            # Until nothing more is taken from the pipe: git is stuck in the middle.
            while process.stdout._transport.is_reading():  # type: ignore[attr-defined]
                await asyncio.sleep(0)
    assert process.returncode is not None
