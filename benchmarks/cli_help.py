"""CPU seconds of `factory --help`, the median of five, against a goal of 0.4 s.

Without a baseline: the goal is absolute, because a person waits for it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from benchmarks.measure import Measurement, cpu_seconds


def measure() -> Iterator[Measurement]:
    """Yield the measurement."""
    program = "from cli.main import main; main()"
    cpu = cpu_seconds([sys.executable, "-c", program, "--help"])
    yield Measurement("factory --help", cpu, "s CPU", goal=0.4)
