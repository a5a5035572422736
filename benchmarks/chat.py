"""The chat in a real browser: how soon one can type, and how soon a finished run is shown.

The page is Chainlit's. So its own page, with an application of three lines behind it, is opened in the same
run: that much is not ours to change. The first opening of each context has an empty cache.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from pathlib import Path
from statistics import median
from typing import Any
from uuid import uuid4

import httpx

from benchmarks.events import Server
from benchmarks.events import _server as serving  # pyright: ignore[reportPrivateUsage]
from benchmarks.measure import Measurement, cpu_seconds
from chat import queries
from core.database import Database
from core.events import Entry, EventLog
from core.settings import Settings
from graph.runs import Runs

STAGES = 20
EVENTS = 2_000
TIMES = 5
THREAD = "00000000-0000-4000-8000-000000000001"
SHORT = "00000000-0000-4000-8000-000000000002"
"""A conversation in which nothing but one sentence was said."""
_WAIT = 60_000
"""Milliseconds until the page is given up."""

_IMPORT = """
import pathlib, tempfile
import api.serving
from chat import appearance, mounting
from core.settings import Settings
with tempfile.TemporaryDirectory() as home:
    mounting._import(appearance.prepare(Settings(home=pathlib.Path(home))))
"""
_PLAIN = """
import chainlit as cl


@cl.on_message
async def heard(message):
    await cl.Message(content=message.content).send()
"""


def measure() -> Generator[Measurement]:
    """All of it with one browser."""
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        raise SystemExit("There is no Chromium on this machine to drive")
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        _plain(Path(folder) / "plain") as plain,
        serving(Path(folder)) as server,
    ):
        yield from asyncio.run(_measure(server, plain, browser))


async def _measure(server: Server, plain: str, program: str) -> list[Measurement]:
    from playwright.async_api import async_playwright

    base = f"http://{server.host}:{server.port}"
    async with httpx.AsyncClient(base_url=base, timeout=60) as http:
        await http.get("/chat/", params={"token": server.token})
        owner = str((await http.get("/chat/user")).json()["identifier"])
    async with Database.open(Settings(home=server.home)) as database:
        await _fill(database, owner)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        try:
            theirs = await _opened(browser, plain, plain, "#chat-input")
            link = f"{base}/chat?token={server.token}"
            ours = await _opened(browser, link, f"{base}/chat/", "#chat-input")
            short = await _opened(browser, link, f"{base}/chat/thread/{SHORT}", "text=Nothing else was said")
            whole = await _opened(browser, link, f"{base}/chat/thread/{THREAD}", "text=Open the result")
        finally:
            await browser.close()
    cold, warm = ours
    imported = cpu_seconds(
        [sys.executable, "-c", _IMPORT], environment={**os.environ, "HOME": str(server.home)}
    )
    return [
        Measurement("chat: import of the server with it, CPU", imported, "s", 5),
        Measurement("chat: until one can type, first visit", cold, "s", 3),
        Measurement("chat: until one can type, later", warm, "s", 3),
        Measurement("the same of a bare Chainlit page, first visit", theirs[0], "s", 6),
        Measurement("the same of a bare Chainlit page, later", theirs[1], "s", 6),
        Measurement("chat: a conversation of one sentence, opened", short[1], "s", 2),
        Measurement(f"chat: a run of {STAGES} stages and {EVENTS:,} events, opened", whole[1], "s", 2),
    ]


async def _opened(browser: Any, entry: str, address: str, mark: str) -> tuple[float, float]:
    """Seconds until `mark` is seen at `address`: with an empty cache, and the median of later openings."""
    context = await browser.new_context(viewport={"width": 1400, "height": 900})
    try:
        page = await context.new_page()
        if entry != address:
            await context.request.get(entry)
        taken: list[float] = []
        for _ in range(TIMES + 1):
            begun = time.perf_counter()
            await page.goto(address, wait_until="commit")
            await page.locator(mark).first.wait_for(timeout=_WAIT)
            taken.append(time.perf_counter() - begun)
            await page.goto("about:blank")
        return taken[0], median(taken[1:])
    finally:
        await context.close()


async def _fill(database: Database, owner: str) -> None:
    """Two conversations of the printed token's owner: a run that is over, and one sentence."""
    log = EventLog(database)
    run_id = await Runs(database, log).create(
        "A lending library",
        project="bench",
        repository=Path("/nowhere"),
        pipeline="full",
        model="offline",
        approve_all=True,
    )
    events = _events()
    for start in range(0, len(events), 500):
        await log.append_all(run_id, events[start : start + 500])
    async with database.pool.connection() as conn:
        await conn.execute("UPDATE runs SET status = 'completed' WHERE id = %s", (run_id,))
        for thread, text in ((THREAD, "A lending library"), (SHORT, "Nothing else was said")):
            await queries.open_thread(conn, thread, owner)
            said: dict[str, Any] = {
                "id": str(uuid4()),
                "threadId": thread,
                "name": owner,
                "type": "user_message",
                "output": text,
                "createdAt": "2026-01-01T00:00:00Z",
                "metadata": {},
            }
            await queries.put_message(conn, thread, said["id"], said)
            if thread == THREAD:
                await queries.ask_for_run(conn, thread, said["id"], run_id)


def _events() -> list[Entry]:
    """What a run of that size leaves: per stage its start, model calls, actions, checks, and its end."""
    teams = [f"team_{number:02}" for number in range(STAGES)]
    names = {team: team.replace("_", " ").title() for team in teams}
    plan: dict[str, Any] = {
        "title": "A lending library",
        "stages": [{"team": team} for team in teams],
        "teams": teams,
        "names": names,
        "waves": {team: number // 4 for number, team in enumerate(teams)},
    }
    found = [
        Entry("run.status", {"from": "draft", "to": "planning"}, key="planning"),
        Entry("plan.decided", plan, key="plan"),
    ]
    left = (EVENTS - len(found) - 4) // STAGES
    for team in teams:
        found += _stage(team, left)
    found += [
        Entry("run.status", {"from": "planning", "to": "validating"}, key=f"more/{number}")
        for number in range(EVENTS - len(found) - 4)
    ]
    commit = "a" * 40
    done = {"tag": "v1", "commit": commit, "repository": "/nowhere"}
    found += [
        Entry("release.done", done, key="release"),
        Entry("run.status", {"from": "deployable", "to": "completed"}, key="completed"),
        Entry("run.ended", {"status": "completed"}, key="ended"),
    ]
    return found


def _stage(team: str, count: int) -> list[Entry]:
    """`count` events of a stage."""
    called = {
        "alias": "factory/coder",
        "model": "offline",
        "call": "work",
        "input_tokens": 900,
        "output_tokens": 100,
        "cost_usd": 0.001,
        "seconds": 1.5,
    }
    acted = {"tool": "write_file", "summary": "src/lending/loans.py, 120 lines of it"}
    checked = {"name": "tests", "passed": True, "summary": "23 tests hold, none was skipped", "score": 100}
    found = [Entry("stage.started", {"round": 1}, key=f"{team}/start", team=team)]
    for number in range(count - 3):
        kind, payload = (("model.called", called), ("action.called", acted), ("check.ran", checked))[
            number % 3
        ]
        found.append(Entry(kind, payload, key=f"{team}/{number}", team=team))
    merged = {"commit": "b" * 40, "files": [f"src/lending/{team}_{number}.py" for number in range(12)]}
    ended = {"verdict": "pass", "attempts": 1, "seconds": 60.0, "tokens": 30_000, "cost_usd": 0.03}
    return [
        *found,
        Entry("stage.merged", merged, key=f"{team}/merged", team=team),
        Entry("stage.ended", ended, key=f"{team}/ended", team=team),
    ]


@contextlib.contextmanager
def _plain(folder: Path) -> Generator[str]:
    """Chainlit by itself, with the smallest application."""
    folder.mkdir()
    (folder / "app.py").write_text(_PLAIN, encoding="utf-8")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "chainlit", "run", "app.py", "--headless", "--port", str(port)]
    left_out = ("PYTHONPATH", "CHAINLIT_APP_ROOT", "CHAINLIT_ROOT_PATH")
    env = {name: value for name, value in os.environ.items() if name not in left_out}
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command, cwd=folder, env=env, stdout=quiet, stderr=quiet)
    url = f"http://127.0.0.1:{port}"
    try:
        _until_there(url)
        yield url
    finally:
        process.terminate()
        process.wait()


def _until_there(url: str) -> None:
    end = time.perf_counter() + 60
    while time.perf_counter() < end:
        with contextlib.suppress(httpx.TransportError):
            httpx.get(url).raise_for_status()
            return
        time.sleep(0.1)
    raise TimeoutError("Chainlit does not start")
