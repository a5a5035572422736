"""One run, followed from everywhere at once: a decision made in one place is seen in all the others.

How long after the decision stood in the log each place showed it is printed (pytest -rP shows it).
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import httpx
import pytest
from langgraph_sdk import get_client
from langgraph_sdk.client import LangGraphClient

from cli.remote import runs as remote
from governance.approvals import Decision
from tests.api.sse import streaming
from tests.chat.conftest import PRINTED, Chat, OpenChat, Tab

ALL = {"CLI", "SDK", "REST", "chat"}
THERE, ENDED = "there", "ended"
"""What a place notes when it follows the run, and when that has ended."""
PATIENCE = 30.0
"""Seconds until a test gives up on what a person would see within one."""
ANSI = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


@dataclass
class Seen:
    """When each place showed a decision, in seconds of the clock that the log is dated by."""

    at: dict[tuple[str, str], float] = field(default_factory=dict[tuple[str, str], float])
    """By place and decision."""
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def note(self, place: str, decision: str) -> None:
        """A place shows a decision."""
        if (place, decision) not in self.at:
            self.at[place, decision] = time.time()
            self._news.set()

    async def until(self, places: set[str], decision: str, *, within: float = PATIENCE) -> dict[str, float]:
        """Wait until all of them show it; when each did."""
        try:
            async with asyncio.timeout(within):
                while any((place, decision) not in self.at for place in places):
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(f"{decision} was only seen so: {self.at}") from None
        return {place: self.at[place, decision] for place in places}


@contextmanager
def terminal(monkeypatch: pytest.MonkeyPatch, read: Callable[[str], None]) -> Iterator[None]:
    """A real terminal in the place of this process's; `read` is told all that was written to it so far."""
    ours, theirs = os.openpty()
    shown = bytearray()

    def more() -> None:
        shown.extend(os.read(ours, 65_536))
        read(ANSI.sub("", shown.decode("utf-8", "replace")))

    loop = asyncio.get_running_loop()
    with (
        os.fdopen(theirs, "r") as given,
        os.fdopen(os.dup(theirs), "w") as said,
        monkeypatch.context() as patch,
    ):
        for name, stream in (("stdin", given), ("stdout", said), ("stderr", said)):
            patch.setattr(f"sys.{name}", stream)
        patch.setenv("COLUMNS", "120")
        patch.setenv("TERM", "xterm")
        loop.add_reader(ours, more)
        try:
            yield
        finally:
            loop.remove_reader(ours)
    os.close(ours)


@asynccontextmanager
async def beside(*work: Coroutine[Any, Any, Any]) -> AsyncIterator[None]:
    """Work that goes on meanwhile, and is ended then; where it fails, all does."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one) for one in work]
        yield
        for task in tasks:
            task.cancel()


async def told_by_cli(chat: Chat, run_id: str, seen: Seen) -> None:
    """Watch the run at the terminal, to its end."""
    assert await remote.watch(chat.url, run_id, as_json=False) == 0
    seen.note("CLI", ENDED)


async def told_by_sdk(client: LangGraphClient, thread_id: str, seen: Seen) -> None:
    """Follow the thread that shows the run, with the stream that LangGraph's client joins."""

    async def there() -> None:
        # The client says nothing before the first event; the server, in this process, knows.
        while not any(task.get_name() == f"joined {thread_id}" for task in asyncio.all_tasks()):
            await asyncio.sleep(0.05)
        seen.note("SDK", THERE)

    watching = asyncio.create_task(there())
    async for part in await cast(Any, client.threads.join_stream(thread_id)):
        data: Any = part.data
        if part.event == "custom" and data["kind"] == "approval.decided":
            seen.note("SDK", data["payload"]["decision"])
    await watching


async def told_by_rest(http: httpx.AsyncClient, run_id: str, seen: Seen) -> None:
    """Follow the run's events over REST."""
    async with streaming(http, f"/api/v1/runs/{run_id}/events/stream", kind="approval.decided") as stream:
        seen.note("REST", THERE)
        async for event in stream.events():
            if event["kind"] == "approval.decided":
                seen.note("REST", event["payload"]["decision"])


async def told_by_chat(tab: Tab, seen: Seen) -> None:
    """Look at the cards of a tab."""
    seen.note("chat", THERE)
    for decision in ("respond", "approve"):
        await tab.until(
            lambda tab, decision=decision: any(
                card["decided"] and card["decided"]["decision"] == decision for card in tab.cards()
            ),
            within=1000,
        )
        seen.note("chat", decision)


async def _asked(chat: Chat, run_id: str, number: int) -> str:
    """The run's question of that number, when the run waits for its answer."""
    asked: list[str] = []
    async for event in chat.factory.follow(run_id):
        if event.kind == "approval.requested":
            asked.append(str(event.payload["approval_id"]))
        if event.kind == "run.status" and event.payload["to"] == "awaiting_input" and len(asked) == number:
            return asked[-1]
    raise AssertionError("it asked nothing more")


async def _delays(chat: Chat, run_id: str, how: str, decision: str, shown: Mapping[str, float]) -> list[str]:
    (at,) = [
        event.at.timestamp()
        for event in await chat.factory.events.read(run_id, kinds=["approval.decided"])
        if event.payload["decision"] == decision
    ]
    return [f"{how} → {place}: {moment - at:.3f} s" for place, moment in shown.items()]


@pytest.mark.parametrize(
    ("first", "second"), [("chat", "SDK"), pytest.param("REST", "CLI", marks=pytest.mark.slow)]
)
async def test_a_decision_made_in_one_place_is_seen_in_all_others(
    first: str, second: str, open_chat: OpenChat, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACTORY_TOKEN", PRINTED)
    seen = Seen()

    def read(text: str) -> None:
        seen.note("CLI", THERE)
        for decision in ("respond", "approve"):
            if f"{decision} by dora" in text:
                seen.note("CLI", decision)

    async with open_chat(protocol=True) as chat, chat.tab() as tab:
        client = get_client(url=chat.url, api_key=PRINTED)
        http = httpx.AsyncClient(
            base_url=chat.url, headers={"Authorization": f"Bearer {PRINTED}"}, timeout=60
        )
        await tab.say("A page about ferns", pipeline="one")
        run_id = str((await tab.until(lambda tab: tab.open_cards()))[0]["run_id"])
        (thread,) = await client.threads.search(metadata={"factory_run": run_id})
        thread_id = thread["thread_id"]

        async def decide(how: str, approval: str, decision: Decision, words: str | None) -> None:
            match how:
                case "chat":
                    assert (await tab.decide(approval, decision, words or ""))["ok"]
                case "SDK":
                    answer = {"decisions": [{"type": decision, "message": words}]}
                    modes: list[Any] = ["custom", "values"]
                    await client.runs.create(
                        thread_id, "factory-one", command={"resume": answer}, stream_mode=modes
                    )
                case "REST":
                    body = {"decision": decision, "text": words}
                    done = await http.post(f"/api/v1/approvals/{approval}/decision", json=body)
                    assert done.status_code == 200, done.text
                case _:
                    await remote.decide(chat.url, approval, decision, words, go_on=False, as_json=False)

        with terminal(monkeypatch, read):
            watchers = (
                told_by_cli(chat, run_id, seen),
                told_by_sdk(client, thread_id, seen),
                told_by_rest(http, run_id, seen),
                told_by_chat(tab, seen),
            )
            async with http, beside(*watchers):
                await seen.until(ALL, THERE)
                await decide(first, await _asked(chat, run_id, 1), "respond", "Shorter, please")
                shown = await seen.until(ALL, "respond")
                delays = await _delays(chat, run_id, first, "respond", shown)
                await decide(second, await _asked(chat, run_id, 2), "approve", None)
                shown = await seen.until(ALL, "approve")
                delays += await _delays(chat, run_id, second, "approve", shown)
                await tab.until(lambda tab: tab.finished())
                await seen.until({"CLI"}, ENDED)
        await client.http.client.aclose()
        print("\n".join(delays))
        assert len(tab.finished()) == 1
        assert {card["decided"]["by"] for card in tab.cards()} <= {"dora", "dora (Agent Protocol)"}
