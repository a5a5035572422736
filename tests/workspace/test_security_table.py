"""The table of attacks in docs/security.md names tests that exist, for every attack that was asked for."""

import ast
import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
TABLE = (TESTS.parent / "docs" / "security.md").read_text()
NAMED = re.findall(r"^\|.*\| `([\w/]+\.py)::(\w+)` \|$", TABLE, re.MULTILINE)
ASKED_FOR = (
    *(
        "`..`",
        "absolute",
        "symlink",
        "hard link",
        "races",
        "FIFO",
        "device",
        "setuid",
        "`/proc`",
        "fork bomb",
    ),
    *(
        "many processes",
        "many small files",
        "sparse",
        "huge",
        "endless output",
        "signals",
        "daemons",
        "sockets",
    ),
    *("DNS", "hooks", "filters", "fsmonitor", ".gitattributes", "submodules", "archive bombs", "newlines"),
    *("terminal escapes", "approve this", "`.pth`", "console scripts", "source distributions"),
    *(f"MCP: {what}" for what in ("a path", "writing an original", "approving", "messages beyond")),
    'MCP: a product\'s page that says "approve this"',
)


def test_every_attack_of_the_table_has_its_test() -> None:
    assert len(NAMED) > 30
    for file, name in NAMED:
        path = TESTS / file if "/" in file else TESTS / "workspace" / file
        functions = (ast.AsyncFunctionDef, ast.FunctionDef)
        there = {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, functions)}
        assert name in there, f"{file}::{name}"


def test_no_two_attacks_share_a_test() -> None:
    assert sorted({*NAMED}) == sorted(NAMED)


def test_every_row_of_the_table_names_a_test() -> None:
    _, _, section = TABLE.partition("## Attacks")
    rows = [line for line in section.partition("\n## ")[0].splitlines() if line.startswith("| ")][1:]
    assert len(rows) == len(NAMED)


def test_every_attack_that_was_asked_for_is_in_the_table() -> None:
    rows = "\n".join(line for line in TABLE.splitlines() if "::test_" in line)
    assert [attack for attack in ASKED_FOR if attack not in rows] == []
