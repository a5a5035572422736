"""Runs of foreign graphs that workers execute: a server answers, others do the work."""

from __future__ import annotations

import asyncio
import signal
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from langgraph_sdk import get_client

from api.protocol.foreign import worked_on
from tests.api.protocol.conftest import GRAPHS, OpenProtocol, until
from tests.cli.told import PROGRAM
from tests.faults.server import READY, Server

PATIENCE = 60.0
"""Seconds for which the server leaves runs to workers here: longer than any of them takes."""


async def test_a_run_waits_for_a_worker_which_a_cancel_reaches(
    open_protocol: OpenProtocol, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    async with open_protocol(patience=PATIENCE) as spoken:
        runs, threads = spoken.client.runs, spoken.client.threads
        first, second = [(await threads.create())["thread_id"] for _ in range(2)]
        given = {"hold": True, "gate": str(gate), "steps": ["start"]}
        one = await runs.create(first, "slow", input=given)
        other = await runs.create(second, "slow", input=given)
        assert (one["status"], other["status"]) == ("pending", "pending")
        async with worked_on(spoken.protocol.db, GRAPHS) as names:
            assert names == spoken.protocol.graphs.foreign
            await until(spoken, first, "first")
            await until(spoken, second, "first")
            # In its own process it would be the bell of the same database.
            async with asyncio.timeout(30):
                await runs.cancel(second, other["run_id"], wait=True)
            assert (await runs.get(second, other["run_id"]))["status"] == "interrupted"
            gate.touch()
            done = await runs.join(first, one["run_id"])
        assert done["steps"] == ["start", "first", "second"]
        # Nobody executes what comes now.
        late = await runs.create(first, "slow", input={"hold": False})
        assert late["status"] == "pending"


async def test_a_worker_that_ends_hands_its_run_to_another(
    open_protocol: OpenProtocol, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    async with open_protocol(patience=PATIENCE) as spoken:
        thread_id = (await spoken.client.threads.create())["thread_id"]
        given = {"hold": True, "gate": str(gate), "steps": ["start"]}
        run = await spoken.client.runs.create(thread_id, "slow", input=given)
        async with worked_on(spoken.protocol.db, GRAPHS):
            await until(spoken, thread_id, "first")
        gate.touch()
        async with worked_on(spoken.protocol.db, GRAPHS):
            done = await spoken.client.runs.join(thread_id, run["run_id"])
        assert done["steps"] == ["start", "first", "second"]


async def test_a_server_executes_what_no_worker_has_taken_for_a_while(open_protocol: OpenProtocol) -> None:
    async with open_protocol(patience=0.2) as spoken:
        thread_id = (await spoken.client.threads.create())["thread_id"]
        run = await spoken.client.runs.create(thread_id, "slow", input={"hold": False})
        assert run["status"] == "pending"
        done = await spoken.client.runs.join(thread_id, run["run_id"])
        assert done["steps"] == ["first", "second"]


@pytest.mark.slow
async def test_a_run_goes_on_in_another_worker_process_when_its_own_is_killed(
    factory_env: dict[str, str], tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    server = Server(factory_env, tmp_path, ("--model", "offline", "--workers", "0", "--graphs", str(GRAPHS)))
    await server.start()
    try:
        client = get_client(url=f"http://{server.address}", api_key=server.token)
        async with _worker(factory_env, tmp_path) as killed:
            thread_id = (await client.threads.create())["thread_id"]
            given = {"hold": True, "gate": str(gate), "steps": ["start"]}
            run = await client.runs.create(thread_id, "slow", input=given, stream_mode="updates")
            async for part in client.runs.join_stream(thread_id, run["run_id"]):
                if part.event == "updates":
                    break  # its first node is done
            killed.kill()
            await killed.wait()
        gate.touch()
        async with _worker(factory_env, tmp_path) as other, asyncio.timeout(READY):
            done = await client.runs.join(thread_id, run["run_id"])
            assert done["steps"] == ["start", "first", "second"]
            thread = (await client.threads.create())["thread_id"]
            held = {"hold": True, "gate": str(tmp_path / "never")}
            run = await client.runs.create(thread, "slow", input=held, stream_mode="updates")
            async for part in client.runs.join_stream(thread, run["run_id"]):
                if part.event == "updates":
                    break
            await client.runs.cancel(thread, run["run_id"], wait=True)
            assert (await client.runs.get(thread, run["run_id"]))["status"] == "interrupted"
            other.send_signal(signal.SIGTERM)
            assert await other.wait() == 0
        await client.http.client.aclose()
        assert not [line for line in server.said if "no worker took" in line]
    finally:
        await server.abandon()


@asynccontextmanager
async def _worker(environment: dict[str, str], folder: Path) -> AsyncIterator[Process]:
    """A `factory worker` that executes the graphs' runs."""
    process = await asyncio.create_subprocess_exec(
        *PROGRAM,
        *("worker", "--model", "offline", "--graphs", str(GRAPHS)),
        env=environment,
        cwd=folder,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    try:
        async with asyncio.timeout(READY):
            while not (said := (await process.stderr.readline()).decode()).startswith("Executing"):
                assert said
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()
