"""What the log says, and about what."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

import pytest

from core import logs


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    yield
    logs.configure()


async def test_a_line_says_which_run_team_and_request_it_is_about(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info")
    logger = logs.get("core.somewhere")

    async def work(team: str) -> None:
        with logs.about(team=team):
            await asyncio.sleep(0)
            logger.info("worked")

    with logs.about(run="run-1", request_id="req-1"):
        await asyncio.gather(work("a"), work("b"))
    logger.info("idle")
    first, second, third = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert [(one["run"], one["team"], one["request_id"]) for one in (first, second)] == [
        ("run-1", "a", "req-1"),
        ("run-1", "b", "req-1"),
    ]
    assert (third["event"], "run" in third, third["level"]) == ("idle", False, "info")


def test_text_is_masked_like_json(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "text")
    secret = "sk-" + "a1b2c3d4" * 4
    with logs.about(run="run-1"):
        logs.get("core.somewhere").info("asked", answer=f"my key is {secret}", api_key="short")
    said = capsys.readouterr().err
    assert "asked" in said
    assert "run=run-1" in said
    assert secret not in said
    assert "\x1b" not in said
