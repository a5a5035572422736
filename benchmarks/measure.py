"""The shape of a measurement, and how CPU time of a program is taken."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median


@dataclass(frozen=True, slots=True)
class Measurement:
    """One line of the table."""

    name: str
    value: float
    unit: str
    goal: float
    """The most that the value (or, with a baseline, the ratio) may be."""
    baseline: float | None = None
    """The same thing without us, measured in the same run."""

    @property
    def ratio(self) -> float | None:
        """The value in baselines."""
        return None if not self.baseline else self.value / self.baseline

    @property
    def holds(self) -> bool:
        """Whether the goal is kept."""
        compared = self.value if self.ratio is None else self.ratio
        return compared <= self.goal

    def record(self) -> dict[str, object]:
        """As it stands in latest.json."""
        return {**asdict(self), "ratio": self.ratio, "holds": self.holds}


def cpu_seconds(
    command: Sequence[str], *, times: int = 5, environment: Mapping[str, str] | None = None
) -> float:
    """The median CPU time of a program, its own children included. Raises when it fails."""
    taken: list[float] = []
    for _ in range(times):
        before = os.times()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
        after = os.times()
        taken.append(
            after.children_user - before.children_user + after.children_system - before.children_system
        )
    return median(taken)
