"""How much memory a command takes with all its processes, where no control group counts it."""

import os
from collections.abc import Mapping
from pathlib import Path

_PAGE = os.sysconf("SC_PAGESIZE")


def resident(first: int) -> int:
    """Bytes that the process and all below it hold; pages that they share count for each."""
    parents = _parents()
    family = {first}
    size = 0
    # A child may have a smaller number than its parent: go over the rest until nobody joins.
    while joining := {child for child, parent in parents.items() if parent in family} - family:
        family |= joining
    for process in family:
        try:
            size += int(Path(f"/proc/{process}/statm").read_text().split()[1]) * _PAGE
        except OSError:
            continue
    return size


def _parents() -> Mapping[int, int]:
    parents: dict[int, int] = {}
    for name in os.listdir("/proc"):
        if name.isdecimal():
            try:
                status = Path(f"/proc/{name}/stat").read_text(errors="replace")
            except OSError:
                continue
            # The name, in parentheses, may hold anything.
            parents[int(name)] = int(status.rpartition(")")[2].split()[1])
    return parents
