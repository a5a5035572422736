"""A repository of thousands of files is imported, changed offline by a script, and ends as a pull request.

Everything through the command line; the remote is a real bare repository behind a server that speaks the
forge's API.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.cli.process import Process
from tests.doubles.forge_server import ForgeServer

TOKEN = "f4-token-for-the-forge-4411"
WHO = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")
SIZES = [300, pytest.param(3_000, marks=pytest.mark.slow)]

CHANGE = """\
Prices are rounded to whole cents before they are added up, so that a total is never off by one.

```edit shop/money.py
<<<<<<< SEARCH
    return sum(amounts)
=======
    return sum(round(amount) for amount in amounts)
>>>>>>> REPLACE
```

```edit tests/test_money.py
<<<<<<< SEARCH
def test_nothing_costs_nothing() -> None:
=======
def test_parts_of_a_cent_are_rounded_first() -> None:
    assert total([0.6, 0.6]) == 2


def test_nothing_costs_nothing() -> None:
>>>>>>> REPLACE
```
"""


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=folder, capture_output=True, text=True, check=True
    ).stdout.strip()


def shop(folder: Path, files: int) -> None:
    """A package in the repository's root with a test for each tenth module: `files` of them in all."""
    written = {
        "pyproject.toml": '[project]\nname = "shop"\nversion = "1.0"\n\n'
        '[tool.pytest.ini_options]\npythonpath = ["."]\ntestpaths = ["tests"]\n',
        "README.md": "# Shop\n\nSells things.\n",
        "LICENSE": "Do what you like.\n",
        "shop/__init__.py": '"""A shop."""\n',
        "shop/money.py": '"""Amounts, in cents."""\n\nfrom collections.abc import Iterable\n\n\n'
        'def total(amounts: Iterable[float]) -> float:\n    """What they come to together."""\n'
        "    return sum(amounts)\n",
        "tests/test_money.py": '"""Of money."""\n\nfrom shop.money import total\n\n\n'
        "def test_amounts_are_added_up() -> None:\n    assert total([1, 2, 3]) == 6\n\n\n"
        "def test_nothing_costs_nothing() -> None:\n    assert total([]) == 0\n",
    }
    for number in range(files - len(written)):
        part, name = number // 50, f"item{number}"
        if number % 10:
            written[f"shop/part{part}/{name}.py"] = (
                f'"""Item {number}."""\n\n\ndef price() -> int:\n    """In cents."""\n    return {number}\n'
            )
        else:
            other = f"item{number + 1}"
            written[f"tests/part{part}/test_{other}.py"] = (
                f'"""Of {other}."""\n\nfrom shop.part{part}.{other} import price\n\n\n'
                f"def test_its_price() -> None:\n    assert price() == {number + 1}\n"
            )
    for part in {path.rpartition("/")[0] for path in written if "/part" in path}:
        (folder / part).mkdir(parents=True, exist_ok=True)
    (folder / "shop").mkdir(exist_ok=True)
    for path, text in written.items():
        (folder / path).write_text(text)


@pytest.fixture
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    shop(folder, request.param)
    git(folder, "init", "-q", "-b", "trunk")
    git(folder, "add", ".")
    git(folder, *WHO, "commit", "-qm", "All of it")
    return folder


@pytest.fixture
def forge(source: Path, tmp_path: Path) -> Iterator[ForgeServer]:
    bare = tmp_path / "forge" / "ada" / "shop.git"
    bare.parent.mkdir(parents=True)
    git(source, "clone", "-q", "--bare", str(source), str(bare))
    git(bare, "config", "http.receivepack", "true")
    with ForgeServer(tmp_path / "forge", token=TOKEN) as server:
        yield server


def factory(env: Mapping[str, str], *arguments: str, code: int = 0) -> dict[str, Any]:
    """One command line with --json; its object."""
    ran = Process([*arguments, "--json"], env={**env, "SHOP_TOKEN": TOKEN}, folder=Path.cwd()).ended()
    assert ran.returncode == code, ran.stdout + ran.stderr
    return json.loads(ran.stdout)


@pytest.mark.slow
@pytest.mark.parametrize("source", SIZES, indirect=True)
def test_an_imported_repository_is_changed_offline_and_the_change_arrives_at_the_forge(
    source: Path, forge: ForgeServer, factory_env: Mapping[str, str], tmp_path: Path
) -> None:
    bare = forge.root / "ada" / "shop.git"
    trunk, status = git(bare, "rev-parse", "trunk"), git(source, "status", "--porcelain")
    env = factory_env
    url, api = forge.git_url("ada/shop"), forge.api("github")
    factory(
        *(env, "project", "set-remote", "shop", url),
        *("--forge", "github", "--api", api, "--token-env", "SHOP_TOKEN"),
    )
    (tmp_path / "change.md").write_text(CHANGE)
    done = factory(
        *(env, "change", "shop", str(tmp_path / "change.md"), "--repo", str(source)),
        *("--model", "offline", "--approve-all"),
    )
    assert done["status"] == "completed"
    assert done["pull_request"] == f"{forge.url}/ada/shop/pull/1"
    worked = {stage["team"] for stage in done["stages"] if stage["verdict"] == "pass"}
    assert worked >= {"backend_engineering", "qa_engineering"}
    assert "frontend_engineering" not in worked
    assert all(stage["skipped_because"] for stage in done["stages"] if stage["verdict"] == "skipped")

    branch = f"factory/{done['run_id']}"
    assert git(bare, "rev-parse", "trunk") == trunk
    arrived = git(bare, "diff", "--name-only", "trunk", branch).splitlines()
    assert [path for path in arrived if not path.startswith(".factory/mail/")] == [
        "shop/money.py",
        "tests/test_money.py",
    ]
    assert (forge.pulls[0]["branch"], forge.pulls[0]["base"]) == (branch, "trunk")
    compared = factory(env, "diff", done["run_id"])
    assert "+    return sum(round(amount) for amount in amounts)" in compared["diff"]
    assert git(source, "status", "--porcelain") == status

    # Its own suite, run by its own means on what arrived there: green, and one test more.
    there = tmp_path / "there"
    git(tmp_path, "clone", "-q", "--branch", branch, str(bare), str(there))
    before, after = suite(source), suite(there)
    assert after == before + 1


def suite(folder: Path) -> int:
    """How many tests pass; all of them have to."""
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout[-3000:]
    return int(ran.stdout.strip().splitlines()[-1].split()[0])
