"""What was wrong before a run is named and not blamed on it; what is wrong since fails."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.workspace.checking import baseline, fill, only
from workspace.checks import Baseline
from workspace.errors import WorkspaceError
from workspace.sandbox import Sandbox

KEY = "AKIA" + "IOSFODNN7ABCDEFG"
OTHER = "AKIA" + "JPTGPEOO8BCDEFGH"


@pytest.fixture
def none() -> Sandbox:
    return Sandbox(False, False, {}, "not needed")


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return tmp_path / "base"


@pytest.fixture
def now(tmp_path: Path) -> Path:
    return tmp_path / "now"


async def test_an_old_broken_link_is_named_and_not_blamed(none: Sandbox, base: Path, now: Path) -> None:
    fill(base, {"README.md": "# A\n[x](gone.md)\n"})
    fill(now, {"README.md": "# A\n\nNew words.\n\n[x](gone.md)\n"})
    result = await only("links", now, none, baseline=baseline(base))
    assert (result.passed, result.score) == (True, 100)
    assert result.before == ("README.md:5: gone.md is not there",)
    assert result.summary == "nothing new beside 1 that was there before"


async def test_a_new_broken_link_beside_an_old_one_fails(none: Sandbox, base: Path, now: Path) -> None:
    fill(base, {"README.md": "[x](gone.md)\n"})
    fill(now, {"README.md": "[x](gone.md)\n[y](new.md)\n"})
    result = await only("links", now, none, baseline=baseline(base))
    assert (result.passed, result.details) == (False, ("README.md:2: new.md is not there",))
    assert result.before == ("README.md:1: gone.md is not there",)


async def test_a_page_that_the_run_removed_breaks_a_link_that_it_did_not_write(
    none: Sandbox, base: Path, now: Path
) -> None:
    fill(base, {"README.md": "[x](docs/a.md)\n", "docs/a.md": "# A\n"})
    fill(now, {"README.md": "[x](docs/a.md)\n"})
    result = await only("links", now, none, baseline=baseline(base))
    assert (result.passed, result.details) == (False, ("README.md:1: docs/a.md is not there",))


async def test_the_same_fault_once_more_is_a_new_one(none: Sandbox, base: Path, now: Path) -> None:
    fill(base, {"README.md": "[x](gone.md)\n"})
    fill(now, {"README.md": "[x](gone.md)\n[again](gone.md)\n"})
    assert (await only("links", now, none, baseline=baseline(base))).passed is False


async def test_an_old_secret_does_not_excuse_a_new_one_in_its_place(
    none: Sandbox, base: Path, now: Path
) -> None:
    fill(base, {"a.py": f"key = {KEY}\n"})
    fill(now, {"a.py": f"key = {KEY}\n"})
    assert (await only("secrets", now, none, baseline=baseline(base))).passed is True
    fill(now, {"a.py": f"key = {OTHER}\n"})
    result = await only("secrets", now, none, baseline=baseline(base))
    assert (result.passed, result.details) == (False, ("a.py:1: an AWS access key",))
    assert KEY not in repr(result)
    assert OTHER not in repr(result)


async def test_a_secret_that_moved_with_its_file_is_an_old_one(none: Sandbox, base: Path, now: Path) -> None:
    fill(base, {"a.py": f"key = {KEY}\n"})
    fill(now, {"b.py": f"key = {KEY}\n"})
    assert (await only("secrets", now, none, baseline=baseline(base))).passed is True
    fill(now, {"a.py": f"key = {KEY}\n"})  # beside the old one it is a copy
    assert (await only("secrets", now, none, baseline=baseline(base))).details == (
        "b.py:1: an AWS access key",
    )


async def test_lint_blames_only_what_is_new(sandbox: Sandbox, base: Path, now: Path) -> None:
    fill(base, {"a.py": "import os\n"})
    fill(now, {"a.py": '"""A."""\n\nimport os\n', "b.py": "import sys\n"})
    result = await only("lint", now, sandbox, baseline=baseline(base))
    assert result.passed is False
    assert [line.partition(" ")[0] for line in result.details] == ["b.py:1:8:"]
    assert [line.partition(" ")[0] for line in result.before] == ["a.py:3:8:"]


TWO = "def test_good():\n    assert True\n\n\ndef test_old():\n    assert False, 'known'\n"


async def test_a_test_that_failed_before_is_named_and_not_blamed(
    sandbox: Sandbox, base: Path, now: Path
) -> None:
    fill(base, {"test_a.py": TWO})
    fill(now, {"test_a.py": TWO, "test_b.py": "def test_new():\n    assert True\n"})
    result = await only("tests", now, sandbox, baseline=baseline(base))
    assert (result.passed, result.score) == (True, 100)
    assert result.summary.startswith("2 passed, 1 failed as before the run")
    assert result.before == ("test_a::test_old",)


async def test_a_test_that_was_green_and_is_red_fails(sandbox: Sandbox, base: Path, now: Path) -> None:
    fill(base, {"test_a.py": TWO})
    fill(now, {"test_a.py": TWO.replace("assert True", "assert 1 == 2, 'broke it'")})
    result = await only("tests", now, sandbox, baseline=baseline(base))
    assert result.passed is False
    assert any("test_a::test_good" in line and "broke it" in line for line in result.details)
    assert any(t.what == "was green before the run" and t.passed is False for t in result.ticks)
    assert result.before == ("test_a::test_old",)


async def test_tests_that_are_gone_are_named(sandbox: Sandbox, base: Path, now: Path) -> None:
    fill(base, {"test_a.py": TWO.partition("\n\n\n")[0] + "\n\n\ndef test_other():\n    pass\n"})
    fill(now, {"test_a.py": TWO.partition("\n\n\n")[0] + "\n"})
    result = await only("tests", now, sandbox, baseline=baseline(base), thorough=True)
    assert result.passed is True
    assert [(t.what, t.said) for t in result.ticks if t.passed is None][-1] == (
        "passed before and is gone",
        "test_a::test_other",
    )


async def test_a_suite_that_never_worked_is_no_evidence(sandbox: Sandbox, base: Path, now: Path) -> None:
    broken = "import not_installed_here\n\n\ndef test_a():\n    pass\n"
    fill(base, {"test_a.py": broken})
    fill(now, {"test_a.py": broken, "a.py": "A = 1\n"})
    result = await only("tests", now, sandbox, baseline=baseline(base))
    assert result.passed is None
    assert "it was so before the run" in result.summary


async def test_a_baseline_that_cannot_be_looked_at_excuses_nothing(none: Sandbox, now: Path) -> None:
    @asynccontextmanager
    async def broken() -> AsyncGenerator[Path]:
        raise WorkspaceError("there is no such commit")
        yield now

    fill(now, {"README.md": "[x](gone.md)\n"})
    result = await only("links", now, none, baseline=Baseline("none", broken))
    assert (result.passed, result.before) == (False, ())
