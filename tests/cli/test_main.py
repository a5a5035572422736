"""The command line's own words: help, usage errors, exit codes."""

import errno
import json
import subprocess
import sys
import time

import psycopg
import pytest

from cli.failing import guard
from cli.main import call


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["--help"]) == 0
    said = capsys.readouterr().out
    for command in (
        "run",
        "runs",
        "show",
        "watch",
        "resume",
        "answer",
        "approve",
        "reject",
        "teams",
        "doctor",
        "replay",
        "audit",
    ):
        assert f"\n  {command} " in said
    assert "130 interrupted" in said


@pytest.mark.parametrize("arguments", [["rnu"], ["run"], ["run", "--bad", "x"], ["runs", "--limit", "0"]])
def test_usage_errors_exit_with_2_and_say_where_help_is(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "--help" in captured.err


def test_a_usage_error_is_an_object_where_json_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["run", "--json", "--nonsense"]) == 2
    captured = capsys.readouterr()
    assert json.loads(captured.out)["error"]["code"] == "usage"
    assert captured.err == ""


@pytest.mark.parametrize("arguments", [[], ["--json"]])
def test_no_error_prints_a_secret(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> int:
        raise RuntimeError("postgresql://me:hunter2hunter2@db/x and sk-abcdefghij0123456789")

    assert guard(work, arguments) == 4
    captured = capsys.readouterr()
    assert "[redacted]" in captured.err
    assert "hunter2" not in captured.out + captured.err
    assert "sk-abc" not in captured.out + captured.err


def test_the_version_is_the_packages_own(capsys: pytest.CaptureFixture[str]) -> None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        expected = version("factory-ai")
    except PackageNotFoundError:
        pytest.skip("the package is not installed here")
    assert call(["--version"]) == 0
    assert capsys.readouterr().out == f"factory {expected}\n"


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), psycopg.errors.DiskFull()]
)
def test_a_full_disk_is_no_fault_of_the_program(error: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    def write() -> int:
        raise error

    assert guard(write, []) == 4
    said = capsys.readouterr().err
    assert "The disk is full" in said
    assert "Traceback" not in said


def test_help_imports_nothing_heavy() -> None:
    program = (
        "import sys; from cli.main import call; code = call(['--help']); "
        "heavy = {'rich', 'langgraph', 'langchain_core', 'psycopg', 'pydantic'} & set(sys.modules); "
        "print(sorted(heavy), file=sys.stderr); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


def test_help_costs_less_than_0_4_seconds_of_cpu() -> None:
    import resource

    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.monotonic()
    subprocess.run(
        [sys.executable, "-c", "from cli.main import call; call(['--help'])"], capture_output=True, check=True
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    assert cpu < 0.4, f"{cpu:.2f} s of CPU in {time.monotonic() - started:.2f} s"
