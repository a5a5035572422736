"""The pictures of the documentation, drawn from the product's own data: `make pictures`.

    pipeline.svg   from teams/packs/software/pipeline.toml and the teams' own names
    run.svg        what `factory show last` prints, when there is a run

Run it from the repository's top folder.
"""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import tomllib
from html import escape
from pathlib import Path
from typing import Any

from rich.console import Console

from cli import results
from cli.records import SCRIPTED
from cli.screen import Screen
from graph.summary import RunSummary
from teams.registry import Registry

DOCS = Path(__file__).parent

_STYLE = """
  .back { fill: #ffffff } .box { fill: #eef3fb; stroke: #4a6fa5 } .step { fill: #fff6e0; stroke: #b7862b }
  .line { stroke: #9aa7b8; fill: none } .text { fill: #1c2733 } .faint { fill: #5b6876 }
  @media (prefers-color-scheme: dark) {
    .back { fill: #0e1420 } .box { fill: #1b2a41; stroke: #7ea2d6 } .step { fill: #3a2f14; stroke: #d8ae5c }
    .line { stroke: #53627a } .text { fill: #e8edf4 } .faint { fill: #9aa7b8 }
  }
"""
_WIDTH, _HEIGHT, _GAP_X, _GAP_Y, _TOP, _LEFT = 158, 34, 16, 22, 20, 96


def waves(stages: list[dict[str, Any]]) -> list[list[str]]:
    """Teams by wave; a team's wave is the longest way to it."""
    needs = {stage["team"]: stage["needs"] for stage in stages}
    depth: dict[str, int] = {}

    def of(team: str) -> int:
        if team not in depth:
            depth[team] = 1 + max((of(need) for need in needs[team]), default=-1)
        return depth[team]

    found: list[list[str]] = [[] for _ in range(max(map(of, needs)) + 1 if needs else 0)]
    for team in needs:
        found[depth[team]].append(team)
    return found


def pipeline(stages: list[dict[str, Any]], names: dict[str, str]) -> str:
    """The pipeline as an SVG: from top to bottom a row a wave, between the steps of control."""
    rows: list[list[tuple[str, str]]] = [[("govern", "step")], [("plan", "step")]]
    rows += [[(team, "box") for team in wave] for wave in waves(stages)]
    rows += [[("validate", "step")], [("review", "step")], [("release", "step")]]
    widest = max(map(len, rows))
    width = _LEFT + widest * (_WIDTH + _GAP_X) + 90
    height = _TOP * 2 + len(rows) * (_HEIGHT + _GAP_Y) - _GAP_Y
    middle = _LEFT + (widest * (_WIDTH + _GAP_X) - _GAP_X) / 2
    places: dict[str, tuple[float, float]] = {}
    order: dict[str, int] = {}
    for number, row in enumerate(rows):
        first = middle - (len(row) * (_WIDTH + _GAP_X) - _GAP_X) / 2
        for place, (entry, _) in enumerate(row):
            places[entry] = (first + place * (_WIDTH + _GAP_X), _TOP + number * (_HEIGHT + _GAP_Y))
            order[entry] = number
    edges = [(need, stage["team"]) for stage in stages for need in stage["needs"]]
    # Only from one row to the next: a longer way is implied, and would cross everything.
    edges = [(a, b) for a, b in edges if order[b] - order[a] == 1]
    edges += [("govern", "plan"), ("validate", "review"), ("review", "release")]
    edges += [("plan", team) for team, _ in rows[2]] + [(team, "validate") for team, _ in rows[-4]]
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        f'font-family="system-ui, sans-serif" font-size="12">',
        f"<title>The pipeline: {len(stages)} stages in {len(rows) - 5} waves</title>",
        f"<style>{_STYLE}</style>",
        f'<rect class="back" width="{width}" height="{height}" rx="8"/>',
    ]
    out += [_edge(places[a], places[b]) for a, b in edges]
    out += [_box(places[entry], kind, names.get(entry, entry)) for row in rows for entry, kind in row]
    for entry, note in _NOTES.items():
        x, y = places[entry]
        out.append(
            f'<text class="faint" x="{x + _WIDTH + 12:.0f}" y="{y + _HEIGHT / 2 + 4:.0f}">'
            f"{escape(note)}</text>"
        )
    out += [
        f'<text class="faint" x="14" y="{_TOP + number * (_HEIGHT + _GAP_Y) + _HEIGHT / 2 + 4:.0f}">'
        f"wave {number - 1}</text>"
        for number in range(2, len(rows) - 3)
    ]
    return "\n".join([*out, _way_back(places), "</svg>", ""])


_NOTES = {
    "govern": "what is risky waits for a person",
    "plan": "leaves out whom the requirement does not need",
    "validate": "all checks, on the merged result",
    "review": "a person decides",
    "release": "merged, tagged",
}


def _edge(a: tuple[float, float], b: tuple[float, float]) -> str:
    x1, y1, x2, y2 = a[0] + _WIDTH / 2, a[1] + _HEIGHT, b[0] + _WIDTH / 2, b[1]
    bend = _GAP_Y * 0.7
    return (
        f'<path class="line" d="M{x1:.0f} {y1:.0f} C{x1:.0f} {y1 + bend:.0f} {x2:.0f} {y2 - bend:.0f} '
        f'{x2:.0f} {y2:.0f}"/>'
    )


def _box(place: tuple[float, float], kind: str, name: str) -> str:
    x, y = place
    return (
        f'<rect class="{kind}" x="{x:.0f}" y="{y:.0f}" width="{_WIDTH}" height="{_HEIGHT}" rx="6"/>'
        f'<text class="text" x="{x + _WIDTH / 2:.0f}" y="{y + _HEIGHT / 2 + 4:.0f}" text-anchor="middle">'
        f"{escape(name)}</text>"
    )


def _way_back(places: dict[str, tuple[float, float]]) -> str:
    """From the review to where a comment sends the run."""
    x, y = places["review"]
    back_x, back_y = places["business_analysis"]
    left = 74
    return (
        '<path class="line" stroke-dasharray="4 3" '
        f'd="M{x:.0f} {y + _HEIGHT / 2:.0f} H{left} V{back_y + _HEIGHT / 2:.0f} H{back_x:.0f}"/>'
        f'<text class="faint" x="{left + 8}" y="{y + _HEIGHT / 2 - 6:.0f}">sent back, with a comment</text>'
    )


def run_page() -> str | None:
    """`factory show last` as an SVG of a terminal; None when there is no run."""
    program = [sys.executable, "-c", "from cli.main import main; main()", "show", "last", "--json"]
    shown = subprocess.run(program, capture_output=True, text=True, check=False)
    if shown.returncode != 0:
        return None
    told = json.loads(shown.stdout)
    # Where it was made is nobody's business and different everywhere.
    told["repository"] = f".factory/projects/{told['project']}/repository"
    console = Console(
        record=True, width=110, file=io.StringIO(), markup=False, highlight=False, force_terminal=True
    )
    results.page(RunSummary.model_validate(told), Screen(out=console))
    drawn = console.export_svg(title=f"factory show last ({SCRIPTED})")
    # A reader's own monospaced font will do; a picture must not fetch anything.
    return re.sub(r"@font-face \{.*?\}\s*", "", drawn, flags=re.DOTALL)


def main() -> int:
    """Write what can be drawn; returns 0."""
    registry = Registry.load("software")
    text, _ = registry.pack_file("pipeline.toml")
    full = tomllib.loads(text)["pipelines"]["full"]["stages"]
    (DOCS / "pipeline.svg").write_text(
        pipeline(full, {team.id: team.name for team in registry}), encoding="utf-8"
    )
    print("docs/pipeline.svg")
    page = run_page()
    if page is None:
        print("docs/run.svg is unchanged: there is no run to show (make demo)")
    else:
        (DOCS / "run.svg").write_text(page, encoding="utf-8")
        print("docs/run.svg")
    return 0


if __name__ == "__main__":
    sys.exit(main())
