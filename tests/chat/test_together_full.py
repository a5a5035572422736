"""The same with everything real: `factory serve`, two `factory watch`, a browser, LangGraph's client, REST.

Two runs, each followed from all of these at once; a decision in each of four places. How long after it
stood in the log each place showed it is printed (pytest -rP shows it).
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from langgraph_sdk import get_client
from langgraph_sdk.client import LangGraphClient
from playwright.async_api import expect

from tests.chat.browser import Visit, needs_browser, opened, visit
from tests.chat.serving import Server, served
from tests.chat.test_together import ENDED, Seen, beside, told_by_rest
from tests.cli.terminal import Terminal

pytestmark = [pytest.mark.slow, needs_browser]
LONG = 240.0
"""Seconds that a run may take on a busy machine."""
WATCHERS = {"REST", "SDK run", "SDK thread", "chat", "watch", "watch --server"}


async def _in_terminal(terminal: Terminal, place: str, seen: Seen) -> None:
    """What a person sees in a terminal; a place notes a decision at the moment when it is drawn."""
    for decision in ("respond", "approve"):
        await asyncio.to_thread(terminal.expect, f"{decision} by ", seconds=LONG)
        seen.note(place, decision)
    assert await asyncio.to_thread(terminal.ended, seconds=LONG) == 0
    seen.note(place, ENDED)


async def _in_browser(tab: Visit, seen: Seen) -> None:
    for decision, words in (("respond", "Answered by"), ("approve", "Approved by")):
        # Playwright looks again at each frame; its answer is what a person sees.
        await tab.page.get_by_text(words).first.wait_for(timeout=LONG * 1000)
        seen.note("chat", decision)


async def _in_stream(stream: Any, place: str, seen: Seen) -> None:
    async for part in stream:
        if part.event == "custom" and part.data["kind"] == "approval.decided":
            seen.note(place, part.data["payload"]["decision"])


async def _call(server: Server, *words: str) -> None:
    """Answer from the command line, which drives the run on to its next question."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "from cli.main import main; main()", *words),
        cwd=server.home,
        env=server.whole_environment,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await process.communicate()
    # It waits for the review, which may be decided elsewhere before it has ended.
    assert process.returncode in (0, 3), said.decode()


@dataclass
class Desk:
    """Everything that one run can be followed and decided with."""

    server: Server
    tab: Visit
    client: LangGraphClient
    http: httpx.AsyncClient
    run_id: str = ""
    thread_id: str = ""
    driving: asyncio.Task[None] | None = None

    async def submit(self) -> None:
        """A requirement in the chat; its run waits for the answer to a question then."""
        await self.tab.page.goto(f"{self.server.url}/chat/")
        await self.tab.page.wait_for_selector("#chat-input")
        await self.tab.pick("pipeline full", "pipeline core")
        await self.tab.say("A lending library: members borrow and return books")
        await expect(self.tab.cards).to_have_count(1, timeout=LONG * 1000)
        (run,) = (await self.http.get("/api/v1/runs", params={"limit": 1})).json()["items"]
        self.run_id = run["run_id"]
        (thread,) = await self.client.threads.search(metadata={"factory_run": self.run_id})
        self.thread_id = thread["thread_id"]

    @asynccontextmanager
    async def followed(self) -> AsyncIterator[Seen]:
        """The run is followed from everywhere; what is seen where."""
        seen, words = Seen(), ["watch", self.run_id]
        environment, home = self.server.whole_environment, self.server.home
        here = Terminal(words, environment, home)
        there = Terminal([*words, "--server", self.server.url], environment, home)
        for terminal in (here, there):
            await asyncio.to_thread(terminal.expect, "factory answer approval", seconds=LONG)
        custom: list[Any] = ["custom"]
        looking = await self.client.runs.create(
            self.thread_id, "factory-core", input=None, stream_mode=custom
        )
        joined: Any = await cast(Any, self.client.threads.join_stream(self.thread_id))
        async with beside(
            _in_terminal(here, "watch", seen),
            _in_terminal(there, "watch --server", seen),
            _in_browser(self.tab, seen),
            _in_stream(joined, "SDK thread", seen),
            _in_stream(self.client.runs.join_stream(self.thread_id, looking["run_id"]), "SDK run", seen),
            told_by_rest(self.http, self.run_id, seen),
        ):
            yield seen
            await expect(self.tab.finished).to_have_count(1, timeout=LONG * 1000)
            await seen.until({"watch", "watch --server"}, ENDED, within=LONG)

    async def asked(self, kind: str) -> str:
        """Wait until the run waits for an answer to a question of this kind; its id."""
        while True:
            run = (await self.http.get(f"/api/v1/runs/{self.run_id}")).json()
            for one in run["waiting_for"]:
                if one["kind"] == kind and run["status"] == "awaiting_input":
                    return one["approval_id"]
            await asyncio.sleep(0.2)

    async def decide(self, how: str, approval: str, decision: str) -> None:
        """Decide it in one of the places."""
        words = "Nothing more" if decision == "respond" else None
        match how:
            case "command line":
                said = ("answer", approval, words) if words else ("approve", approval)
                self.driving = asyncio.create_task(_call(self.server, *said))
            case "chat":
                name = "Send answer" if words else "Approve"
                await self.tab.cards.get_by_role("button", name=name, exact=True).click()
            case "SDK":
                modes: list[Any] = ["custom", "values"]
                answer = {"resume": {"decisions": [{"type": decision, "message": words}]}}
                await self.client.runs.create(
                    self.thread_id, "factory-core", command=cast(Any, answer), stream_mode=modes
                )
            case _:
                body = {"decision": decision, "text": words}
                done = await self.http.post(f"/api/v1/approvals/{approval}/decision", json=body)
                assert done.status_code == 200, done.text

    async def delays(self, how: str, approval: str, shown: Mapping[str, float]) -> list[str]:
        """How long after it stood in the log each place showed a decision."""
        answered = (await self.http.get(f"/api/v1/approvals/{approval}")).json()
        at = datetime.fromisoformat(answered["decided_at"]).timestamp()
        return [f"{how} → {place}: {moment - at:.2f} s" for place, moment in sorted(shown.items())]


@pytest.mark.parametrize(("first", "second"), [("command line", "chat"), ("SDK", "REST")])
async def test_a_run_is_followed_everywhere_and_decided_anywhere(
    first: str, second: str, tmp_path: Path, factory_env: Mapping[str, str]
) -> None:
    async with served(tmp_path, factory_env) as server, opened() as browser:
        client = get_client(url=server.url, api_key=server.token)
        headers = {"Authorization": f"Bearer {server.token}"}
        async with httpx.AsyncClient(base_url=server.url, headers=headers, timeout=60) as http:
            desk = Desk(server, await visit(browser, server.url, link=server.link), client, http)
            await desk.submit()
            delays: list[str] = []
            async with desk.followed() as seen:
                for how, decision, kind in (
                    (first, "respond", "clarification"),
                    (second, "approve", "review"),
                ):
                    approval = await asyncio.wait_for(desk.asked(kind), LONG)
                    await desk.decide(how, approval, decision)
                    # The run of the protocol that looked on ended with the next question; the thread goes on.
                    places = WATCHERS if decision == "respond" else WATCHERS - {"SDK run"}
                    delays += await desk.delays(how, approval, await seen.until(places, decision))
            await expect(desk.tab.page.locator("[data-approval]")).to_have_count(2)
            if desk.driving is not None:
                await desk.driving
        await client.http.client.aclose()
    print("\n".join(delays))
