"""The pictures of the documentation, drawn from the product's own data: `make pictures`.

    pipeline.svg   from teams/packs/software/pipeline.toml and the teams' own names
    run.svg        what `factory show last` prints, when there is a run

Run it from the repository's top folder.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tomllib
from html import escape
from pathlib import Path
from textwrap import wrap
from typing import Any

from rich.console import Console

from cli import results
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
_WIDTH, _HEIGHT, _GAP_X, _GAP_Y, _TOP = 92, 44, 16, 14, 58


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
    """The pipeline as an SVG: a column a wave, between the steps of control."""
    columns: list[list[tuple[str, str]]] = [[("govern", "step")], [("plan", "step")]]
    columns += [[(team, "box") for team in wave] for wave in waves(stages)]
    columns += [[("validate", "step")], [("review", "step")], [("release", "step")]]
    tallest = max(map(len, columns))
    width = len(columns) * (_WIDTH + _GAP_X) + _GAP_X
    height = _TOP + tallest * (_HEIGHT + _GAP_Y) + 34
    middle = _TOP + (tallest * (_HEIGHT + _GAP_Y) - _GAP_Y) / 2
    places: dict[str, tuple[float, float]] = {}
    for column, entries in enumerate(columns):
        x = _GAP_X + column * (_WIDTH + _GAP_X)
        first = middle - (len(entries) * (_HEIGHT + _GAP_Y) - _GAP_Y) / 2
        for row, (entry, _) in enumerate(entries):
            places[entry] = (x, first + row * (_HEIGHT + _GAP_Y))
    edges = [(need, stage["team"]) for stage in stages for need in stage["needs"]]
    # Only from one column to the next: a longer way is implied, and would cross everything.
    order = {entry: column for column, entries in enumerate(columns) for entry, _ in entries}
    edges = [(a, b) for a, b in edges if order[b] - order[a] == 1]
    edges += [("govern", "plan"), ("validate", "review"), ("review", "release")]
    edges += [("plan", team) for team, _ in columns[2]] + [(team, "validate") for team, _ in columns[-4]]
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height:.0f}" role="img" '
        f'font-family="system-ui, sans-serif" font-size="11">',
        f"<title>The pipeline: {len(stages)} stages in {len(columns) - 5} waves</title>",
        f"<style>{_STYLE}</style>",
        f'<rect class="back" width="{width}" height="{height:.0f}" rx="8"/>',
        f'<text class="text" x="{_GAP_X}" y="24" font-size="14" font-weight="600">'
        f"{len(stages)} teams, side by side where they can be</text>",
        f'<text class="faint" x="{_GAP_X}" y="41">Behind each team stands a gate: its files, tests and '
        "limits are checked by code. It goes on, tries again, asks a team, asks a person, or fails.</text>",
    ]
    for a, b in edges:
        (ax, ay), (bx, by) = places[a], places[b]
        x1, y1, x2, y2 = ax + _WIDTH, ay + _HEIGHT / 2, bx, by + _HEIGHT / 2
        out.append(
            f'<path class="line" d="M{x1:.0f} {y1:.0f} C{x1 + 10:.0f} {y1:.0f} {x2 - 10:.0f} {y2:.0f} '
            f'{x2:.0f} {y2:.0f}"/>'
        )
    for entries in columns:
        for entry, kind in entries:
            x, y = places[entry]
            out.append(
                f'<rect class="{kind}" x="{x:.0f}" y="{y:.0f}" width="{_WIDTH}" height="{_HEIGHT}" rx="6"/>'
            )
            lines = wrap(names.get(entry, entry).replace("/", " / "), 15)
            for number, line in enumerate(lines):
                line_y = y + _HEIGHT / 2 + 4 + (number - (len(lines) - 1) / 2) * 13
                out.append(
                    f'<text class="text" x="{x + _WIDTH / 2:.0f}" y="{line_y:.0f}" text-anchor="middle">'
                    f"{escape(line)}</text>"
                )
    review_x = places["review"][0]
    back_x = places["business_analysis"][0] if "business_analysis" in places else places["plan"][0]
    base = height - 20
    back_y = places.get("business_analysis", places["plan"])[1] + _HEIGHT
    out.append(
        '<path class="line" stroke-dasharray="4 3" '
        f'd="M{review_x + _WIDTH / 2:.0f} {middle + _HEIGHT / 2:.0f} '
        f'V{base:.0f} H{back_x + _WIDTH / 2:.0f} V{back_y:.0f}"/>'
    )
    out.append(
        f'<text class="faint" x="{(review_x + back_x + _WIDTH) / 2:.0f}" y="{base - 5:.0f}" '
        'text-anchor="middle">a person may send the result round again, with a comment</text>'
    )
    return "\n".join([*out, "</svg>", ""])


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
    return console.export_svg(title="factory show last")


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
