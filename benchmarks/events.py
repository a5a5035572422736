"""Events over real HTTP, from `factory serve`: how soon, how fast from the past, and to how many at once."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import selectors
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from dataclasses import dataclass
from datetime import datetime
from multiprocessing import get_context
from pathlib import Path
from queue import Empty
from statistics import quantiles
from typing import Any
from urllib.parse import urlsplit

from benchmarks.measure import Measurement
from benchmarks.streams import Stream
from core import clock
from core.database import Database
from core.events import Entry, EventLog
from core.settings import Settings

SUBSCRIBERS = 500
A_SECOND = 200
SECONDS = 15
PAST = 10_000
TELLS = 30
"""Events of which each is waited for."""
TEXT = "x" * 200
"""What an event says beside its frame; the median of a run's events is about as long."""
_PATIENCE = 60.0


def measure() -> Generator[Measurement]:
    """All of it against one server; what is written comes from this process."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, _server(Path(folder)) as server:
        yield from asyncio.run(_measure(server))


@dataclass(frozen=True)
class Server:
    """`factory serve` in a process of its own."""

    home: Path
    host: str
    port: int
    token: str
    pid: int

    def asks(self, path: str) -> Stream:
        """A stream that was asked for and has begun."""
        return Stream(self.host, self.port, path, self.token, patience=_PATIENCE)

    def cpu(self) -> float:
        """Seconds of CPU that it has used."""
        fields = Path(f"/proc/{self.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self) -> float:
        """Megabytes that it holds."""
        status = Path(f"/proc/{self.pid}/status").read_text(encoding="utf-8")
        return int(re.findall(r"VmRSS:\s+(\d+)", status)[0]) / 1_000


@contextlib.contextmanager
def _server(folder: Path) -> Generator[Server]:
    # All subscribers come with one token, which would be held to so many requests a minute.
    env = os.environ | {"FACTORY_HOME": str(folder / "home"), "FACTORY_RATE_LIMIT": "0"}
    program = "import sys; from cli.main import main; sys.exit(main())"
    command = [sys.executable, "-c", program, "serve", "--listen", "127.0.0.1:0", "--model", "offline"]
    process = subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    url = token = ""
    try:
        for line in process.stderr:
            url = line.split()[-1] if line.startswith("Listening") else url
            token = line.split()[-1] if line.startswith("The token") else token
            if url and token:
                break
        where = urlsplit(url)
        yield Server(folder / "home", str(where.hostname), int(where.port or 0), token, process.pid)
    finally:
        process.terminate()
        process.wait()


async def _measure(server: Server) -> list[Measurement]:
    measured: list[Measurement] = []
    async with Database.open(Settings(home=server.home)) as database:
        log = EventLog(database)
        measured.append(await _first(server, log))
        measured.append(await _replay(server, log))
        measured += await _many(server, log)
    return measured


async def _first(server: Server, log: EventLog) -> Measurement:
    stream = await asyncio.to_thread(server.asks, "/api/v1/events/stream")
    with contextlib.closing(stream):
        await asyncio.sleep(1)
        taken: list[float] = []
        for number in range(TELLS):
            await asyncio.sleep(0.1)
            waiting = asyncio.create_task(asyncio.to_thread(stream.until, b'"n":%d,' % number))
            begun = time.perf_counter()
            await log.append("bench-first", "bench.told", {"n": number, "text": TEXT})
            await waiting
            taken.append((time.perf_counter() - begun) * 1_000)
    return Measurement("an event at a subscriber, p95", quantiles(taken, n=20)[-1], "ms", 100)


async def _replay(server: Server, log: EventLog) -> Measurement:
    for start in range(0, PAST, 500):
        await log.append_all("bench-past", _entries(start, 500))
    await asyncio.sleep(1)  # until they are numbered
    taken: list[float] = []
    for _ in range(3):
        begun = time.perf_counter()
        stream = await asyncio.to_thread(server.asks, "/api/v1/events/stream?after=0&run=bench-past")
        with contextlib.closing(stream):
            await asyncio.to_thread(stream.until, b'"n":%d,' % (PAST - 1))
        taken.append(time.perf_counter() - begun)
    return Measurement(f"replay of {PAST:,} events over HTTP", sorted(taken)[1], "s", 1)


def _entries(start: int, count: int) -> list[Entry]:
    return [Entry("bench.told", {"n": n, "text": TEXT}, key=f"{n}") for n in range(start, start + count)]


async def _many(server: Server, log: EventLog) -> list[Measurement]:
    context = get_context("spawn")
    told, results = context.Event(), context.Queue()
    wanted = A_SECOND * SECONDS
    reader: Any = context.Process(target=_subscribers, args=(server, wanted, told, results))
    reader.start()
    try:
        await asyncio.to_thread(told.wait, _PATIENCE)
        cpu, begun = server.cpu(), time.perf_counter()
        async with asyncio.TaskGroup() as writing:
            for number in range(wanted):
                await asyncio.sleep(max(0, begun + number / A_SECOND - time.perf_counter()))
                said = {"n": number, "text": TEXT}
                writing.create_task(log.append(f"bench-many-{number % 8}", "bench.told", said))
        rate = wanted / (time.perf_counter() - begun)
        wrong, late, read = await asyncio.to_thread(_result, results)
        cpu, wall = server.cpu() - cpu, time.perf_counter() - begun
    finally:
        reader.terminate()
        reader.join()
    about = f"{SUBSCRIBERS} subscribers, {rate:.0f} events/s"
    return [
        Measurement(f"events lost or told twice: {about}", wrong, "events", 0),
        Measurement(f"an event at one of them, p95: {about}", late, "ms", 1_000),
        Measurement(f"CPU of the server: {about}", cpu / wall, "cores", 1),
        Measurement(f"CPU of those who read: {about}", read, "cores", 1),
        Measurement(f"memory of the server: {about}", server.memory(), "MB", 300),
    ]


def _result(results: Any) -> tuple[int, float, float]:
    try:
        return results.get(timeout=_PATIENCE)
    except Empty:
        raise AssertionError("the subscribers did not come to an end") from None


def _subscribers(server: Server, wanted: int, told: Any, results: Any) -> None:
    """Read all the streams; say how many events were lost or came twice, and how late they came."""
    streams = [server.asks("/api/v1/events/stream?kind=bench.told") for _ in range(SUBSCRIBERS)]
    selector = selectors.DefaultSelector()
    for stream in streams:
        stream.until(b"retry:")
        stream.socket.setblocking(False)
        selector.register(stream.socket, selectors.EVENT_READ, stream)
    time.sleep(1)
    told.set()
    counts = dict.fromkeys(streams, 0)
    sample, late = streams[0], list[float]()
    used, begun = time.process_time(), time.perf_counter()
    quiet = time.perf_counter() + _PATIENCE
    while min(counts.values()) < wanted and time.perf_counter() < quiet:
        for key, _ in selector.select(1):
            try:
                came = key.data.frames()
            except (AssertionError, ConnectionError):  # it was cut, and what it lacks counts as lost
                selector.unregister(key.fileobj)
                continue
            if new := came.count(b'\ndata: {"position":'):
                counts[key.data] += new
                quiet = time.perf_counter() + _PATIENCE / 2
            if key.data is sample:
                late += _late(came)
    wrong = sum(abs(wanted - count) for count in counts.values())
    used, wall = time.process_time() - used, time.perf_counter() - begun
    results.put((wrong, quantiles(late, n=20)[-1], used / wall))


def _late(frames: bytes) -> list[float]:
    told = [frame.partition(b"data: ")[2] for frame in frames.split(b"\n\n")]
    now = clock.now()
    return [
        (now - datetime.fromisoformat(json.loads(data)["at"])).total_seconds() * 1_000
        for data in told
        if data
    ]
