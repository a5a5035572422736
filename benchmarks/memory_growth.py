"""How the cost of a recall grows with the number of memories: 18 skewed banks, up to a million, drawn.

    python -m benchmarks.memory_growth [STEP …]      (10,000 to 1,000,000 where none is given)

The banks of `memory_scale` grow from step to step in one database, added to through `Bank.add`; at each step
the largest and one of 1,000 are measured as there. The graphs are taken off before a step and built after it.
It takes an hour and some gigabytes, so it is not one of `make bench`. What was measured goes to
docs/memory-growth.json after each step, and the picture beside it is drawn from that
(`python -m benchmarks.memory_growth draw` draws it again).
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from benchmarks import memory_scale as scale

STEPS = (10_000, 50_000, 100_000, 250_000, 500_000, 1_000_000)
_DOCS = Path(__file__).parents[1] / "docs"
_EXACT = 12
"""Queries that are held against an exact search: that reads the whole bank for each."""
Step = dict[str, Any]
"""memories, and of the `largest` bank and the `small` one their sizes; p95 and cpu_p95 (ms), of the largest
and of the small one; `found`: the share of an exact search; `added`: ms of this process for each; `built`:
seconds that all graphs took; load."""


async def grow(steps: Sequence[int], file: Path) -> None:
    """Measure at each number of memories, and write down what was measured so far."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        async with scale.opened(Path(home)) as here:
            banks = [await here.begin(rank) for rank in range(scale.BANKS)]
            measured: list[Step] = []
            for memories in steps:
                measured.append(await _step(here, banks, memories))
                scale.say(json.dumps(measured[-1]))
                told = json.dumps(measured, indent=1) + "\n"
                await asyncio.to_thread(file.write_text, told, encoding="utf-8")


async def _step(here: scale.Opened, banks: Sequence[scale.Filled], memories: int) -> Step:
    await asyncio.to_thread(_take_off, here.memories.db.owner)
    began, before = time.process_time(), sum(bank.size for bank in banks)
    for filled, size in zip(banks, scale.sizes(memories), strict=True):
        await scale.fill(filled, here.embedder, size)
    added = 1000 * (time.process_time() - began) / (memories - before)
    building = time.perf_counter()
    for filled in banks:
        await filled.bank.catch_up()
    built = time.perf_counter() - building
    largest, small = banks[0], banks[-1]
    taken, small_taken = [await scale.time_of(here.memories, one) for one in (largest, small)]
    return {
        "memories": memories,
        "largest": largest.size,
        "small": small.size,
        "p95": round(taken.p95, 1),
        "cpu_p95": round(taken.cpu_p95, 1),
        "small_p95": round(small_taken.p95, 1),
        "small_cpu_p95": round(small_taken.cpu_p95, 1),
        "found": round(await scale.agreement(here.memories, largest, _EXACT), 3),
        "added": round(added, 2),
        "built": round(built),
        "load": round(os.getloadavg()[0], 1),
    }


def _take_off(owner: str) -> None:
    """Remove the graphs: to put one memory after the other into them takes ten times as long as to build."""
    with psycopg.connect(owner) as connection:
        spaces = connection.execute("SELECT id FROM factory.spaces WHERE indexed").fetchall()
        for (space,) in spaces:
            connection.execute(
                sql.SQL("DROP INDEX factory.{}").format(sql.Identifier(f"vectors_{space}_graph"))
            )
        connection.execute("UPDATE factory.spaces SET indexed = false")


_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 640, 320, 56, 40
_LINES = (
    ("cpu_p95", "largest bank", "#0b6bcb"),
    ("small_cpu_p95", "bank of 1,000", "#b3541e"),
)


def draw(measured: Sequence[Step]) -> str:
    """The picture: milliseconds over memories, as SVG."""
    top = max(one["cpu_p95"] for one in measured) * 1.15
    last = measured[-1]["memories"]
    step = next(each for each in (5, 10, 20, 25, 50, 100, 200, 500, 1000, 5000) if top / each <= 8)

    def x(memories: float) -> float:
        return round(_LEFT + memories / last * (_WIDTH - _LEFT - 130), 1)

    def y(ms: float) -> float:
        return round(_HEIGHT - _BOTTOM - ms / top * (_HEIGHT - _BOTTOM - 16), 1)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'font-family="sans-serif" font-size="12">',
        "<title>p95 of a recall's processor time by the number of memories</title>",
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>',
    ]
    for ms in range(0, int(top) + 1, step):
        parts.append(f'<path d="M{_LEFT} {y(ms)}H{x(last)}" stroke="#ddd"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y(ms) + 4}" text-anchor="end">{ms} ms</text>')
    for one in measured:
        if one["memories"] * 12 >= last:  # the labels of the first steps would stand on each other
            where = f'x="{x(one["memories"])}" y="{_HEIGHT - _BOTTOM + 18}"'
            parts.append(f'<text {where} text-anchor="middle">{one["memories"] // 1000:,}k</text>')
    parts.append(f'<text x="{_LEFT}" y="{_HEIGHT - 6}">memories in 18 banks</text>')
    for name, what, colour in _LINES:
        points = " ".join(f"{x(one['memories'])},{y(one[name])}" for one in measured)
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for one in measured:
            parts.append(f'<circle cx="{x(one["memories"])}" cy="{y(one[name])}" r="3" fill="{colour}"/>')
        parts.append(f'<text x="{x(last) + 8}" y="{y(measured[-1][name]) + 4}" fill="{colour}">{what}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def main(words: Sequence[str]) -> None:
    """Measure and draw; or draw alone."""
    file = _DOCS / "memory-growth.json"
    if "draw" not in words:
        asyncio.run(grow([int(word.replace(",", "")) for word in words] or STEPS, file))
    drawn = draw(json.loads(file.read_text(encoding="utf-8")))
    (_DOCS / "memory-growth.svg").write_text(drawn, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
