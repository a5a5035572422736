"""`python -m benchmarks [NAME …]`: run, print a table, write latest.json; exit 1 when a goal is missed."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

from rich.console import Console
from rich.table import Table

from benchmarks.measure import Measurement

HERE = Path(__file__).parent
_NO_BENCHMARK = {"__main__", "measure", "memory_growth", "outside", "streams"}


def names() -> list[str]:
    """Every benchmark: a module with a function `measure()` that yields measurements."""
    return sorted(module.name for module in iter_modules([str(HERE)]) if module.name not in _NO_BENCHMARK)


def main(wanted: list[str]) -> int:
    """Run the benchmarks of these names, or all."""
    known = names()
    unknown = [name for name in wanted if name not in known]
    if unknown:
        print(f"There is no benchmark {', '.join(unknown)}. There are: {', '.join(known)}", file=sys.stderr)
        return 2
    measured: list[Measurement] = []
    for name in wanted or known:
        print(f"{name} …", file=sys.stderr)
        found: Iterable[Measurement] = import_module(f"benchmarks.{name}").measure()
        measured += found
    records = [measurement.record() for measurement in measured]
    (HERE / "latest.json").write_text(json.dumps(records, indent=2) + "\n", encoding="utf-8")
    _print(measured)
    return 0 if all(measurement.holds for measurement in measured) else 1


def _print(measured: list[Measurement]) -> None:
    table = Table(box=None, header_style="bold")
    for column in ("what", "value", "unit", "baseline", "ratio", "goal", ""):
        table.add_column(column, justify="left" if column in {"what", "unit", ""} else "right")
    for line in measured:
        ratio = line.ratio
        table.add_row(
            line.name,
            f"{line.value:.3g}",
            line.unit,
            "" if line.baseline is None else f"{line.baseline:.3g}",
            "" if ratio is None else f"{ratio:.2f}x",
            f"≤ {line.goal:g}{'' if ratio is None else 'x'}",
            "✓ holds" if line.holds else "✗ missed",
        )
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main([name for name in sys.argv[1:] if name]))
