"""What people get wrong, through the real command line: a clear word, the right code, nothing half-made."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from core.database import Database
from core.events import EventLog
from core.postgres import EmbeddedPostgres
from core.settings import Settings
from governance.approvals import Approvals
from graph.lifecycle import RunStatus
from tests.cli.process import Process
from tests.cli.told import PROGRAM, tell_run

ON_THE_WAY: tuple[RunStatus, ...] = ("governance_analysis", "approved", "planning", "in_progress")


@dataclass(frozen=True)
class Ended:
    """How a `factory` process ended: its code and what it said, where a person reads it."""

    code: int
    out: str
    said: str


Call = Callable[..., Ended]


@pytest.fixture
def call(factory_env: Mapping[str, str], tmp_path: Path) -> Call:
    """Run `factory …` in the test's folder; `env` goes over its environment."""

    def called(*arguments: str | bytes, given: bytes = b"", env: Mapping[str, str] | None = None) -> Ended:
        there = {**factory_env, **(env or {})}
        return _told(Process(arguments, env=there, folder=tmp_path, given=given).ended())

    return called


def _told(done: subprocess.CompletedProcess[str]) -> Ended:
    # Whatever happens, a person sees words and no trace of a program.
    assert "Traceback" not in done.stderr, done.stderr
    return Ended(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def nothing_made(settings: Settings, tmp_path: Path) -> Iterator[None]:
    """The command under test leaves no project and no run."""
    yield
    assert [*tmp_path.glob(".factory/projects/*")] == []
    assert _count(settings, "runs") == 0


def _count(settings: Settings, table: str) -> int:
    assert settings.database_url is not None
    with psycopg.connect(settings.database_url.get_secret_value()) as connection:
        row = connection.execute(f"SELECT count(*) FROM factory.{table}").fetchone()  # type: ignore[arg-type]
    assert row is not None
    return int(row[0])


def _asks(settings: Settings, run_id: str) -> str:
    """Let a run have an open question; returns its id."""

    async def ask() -> str:
        async with Database.open(settings) as database:
            approvals = Approvals(database, EventLog(database))
            asked = await approvals.request(
                run_id, kind="clarification", key="a/1", title="?", question="How long?", allowed=["respond"]
            )
            return asked.id

    return asyncio.run(ask())


# The requirement


@pytest.mark.usefixtures("nothing_made")
@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b" \n\t ", "is empty"),
        (b"\x7fELF\x02\x01\x01" + bytes(64), "is binary"),
        (b"a" * 5_000_000, "larger than"),
        ("Ein Verzeichnis für Bücher".encode("latin-1"), "is not UTF-8"),
    ],
    ids=["empty", "blank", "binary", "5 MB", "latin-1"],
)
def test_a_requirement_that_is_no_text_starts_nothing(
    content: bytes, says: str, call: Call, tmp_path: Path
) -> None:
    (tmp_path / "wish.txt").write_bytes(content)
    ended = call("run", "wish.txt")
    assert ended.code == 2
    assert says in ended.said
    assert "No run was created" in ended.said
    assert ended.out == ""
    assert says in call("run", "-", given=content).said
    assert not (tmp_path / ".factory").exists()


@pytest.mark.usefixtures("nothing_made")
def test_an_argument_that_is_not_utf8_is_told(call: Call) -> None:
    ended = call("run", b"caf\xe9 list")
    assert ended.code == 2
    assert "is not UTF-8" in ended.said


# Names that stand for nothing


@pytest.mark.usefixtures("nothing_made")
@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("teams", "crew"), 2, ("no team 'crew'", "backend_engineering")),
        (("run", "A list", "--pipeline", "nope"), 2, ("no pipeline 'nope'", "core, full")),
        (("run", "A list", "--model", "nope:1b"), 4, ("'nope:1b'", "Nothing was started", "--model offline")),
        (("run", "A list", "--project", "../up"), 2, ("'../up' is no project name", "a-z")),
        (("answer", "approval-0", "yes"), 2, ("no approval 'approval-0'", "factory show RUN")),
        (("show", "run-0"), 2, ("No run starts with 'run-0'", "factory runs")),
        (("resume", "last"), 2, ("There is no run yet", "factory run")),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, tuple) else None,
)
def test_an_unknown_name_is_told_with_what_there_is(
    arguments: tuple[str, ...], code: int, says: tuple[str, ...], call: Call
) -> None:
    ended = call(*arguments)
    assert ended.code == code
    for words in says:
        assert words in ended.said
    assert ended.out == ""


def test_an_ambiguous_run_is_told_with_the_runs_it_may_be(settings: Settings, call: Call) -> None:
    runs = [tell_run(settings, ()), tell_run(settings, ())]
    ended = call("show", "run-")
    assert ended.code == 2
    assert all(run in ended.said for run in runs)
    assert "Give more of the id" in ended.said


# Teams and pipelines of one's own

TEAM = """
id = "lone"
name = "Lone"
purpose = "Does all"
alias = "factory/fast"
paths = ["docs/**"]
deliverables = ["docs/*.md"]
tools = ["write_file"]
[[operatives]]
id = "author"
name = "Author"
role = "author"
instructions = "author.md"
"""
CYCLE = """
[pipelines.full]
description = "Round and round"
returns_to = "lone"
[[pipelines.full.stages]]
team = "lone"
needs = ["other"]
[[pipelines.full.stages]]
team = "other"
needs = ["lone"]
"""


@pytest.mark.usefixtures("nothing_made")
@pytest.mark.parametrize(
    ("team", "says"),
    [
        (TEAM.replace('purpose = "Does all"\n', ""), ("purpose",)),
        (TEAM.replace('"write_file"', '"launch_rocket"'), ("launch_rocket", "write_file")),
        (TEAM.replace('id = "lone"', 'id = "lone'), ("TOML",)),
        (TEAM, ("pipeline.toml", "in a circle (lone, other)", "Remove a need")),
    ],
    ids=["a field is missing", "an unknown tool", "no TOML", "a cycle in the pipeline"],
)
def test_a_pack_that_is_wrong_is_told_with_its_file(
    team: str, says: tuple[str, ...], call: Call, tmp_path: Path
) -> None:
    for name in ("lone", "other"):
        folder = tmp_path / "packs" / "mine" / name
        folder.mkdir(parents=True)
        for page in ("SOUL.md", "AGENTS.md", "TOOLS.md", "author.md"):
            (folder / page).write_text("# Words\n")
        text = team if name == "lone" else TEAM
        (folder / "team.toml").write_text(text.replace('"lone"', f'"{name}"').replace("Lone", name))
    (tmp_path / "packs" / "mine" / "pipeline.toml").write_text(CYCLE)
    env = {"FACTORY_PACK": "mine", "FACTORY_PACK_DIRS": str(tmp_path / "packs")}
    ended = call("run", "A list", "--model", "offline", env=env)
    assert ended.code == 2, ended
    for words in says:
        assert words in ended.said
    assert "mine" in ended.said


# Settings


@pytest.mark.usefixtures("nothing_made")
@pytest.mark.parametrize(
    ("content", "says"),
    [
        ('log_level = "loud"', ("log_level", "'debug', 'info', 'warning' or 'error'")),
        ("home = [", ("factory.toml", "cannot be read")),
        ('hoem = "x"', ("hoem", "Did you mean home?")),
        ('ollama_url = "gpu:port"', ("ollama_url", "http://host:port")),
        ('policy_file = "none.toml"', ("policy_file", "FACTORY_POLICY_FILE")),
    ],
)
def test_a_wrong_settings_file_is_told_by_its_key(
    content: str, says: tuple[str, ...], call: Call, tmp_path: Path
) -> None:
    (tmp_path / "factory.toml").write_text(content)
    ended = call("runs")
    assert ended.code == 2, ended
    for words in says:
        assert words in ended.said


@pytest.mark.usefixtures("nothing_made")
def test_a_policy_that_is_not_there_is_told_by_its_variable(call: Call) -> None:
    ended = call("run", "A list", "--model", "offline", env={"FACTORY_POLICY_FILE": "none.toml"})
    assert ended.code == 2, ended
    for words in ("none.toml", "FACTORY_POLICY_FILE"):
        assert words in ended.said


def test_a_home_that_cannot_be_is_told(call: Call, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    # Not by its permissions: root, who runs the tests in a container, writes everywhere.
    env = {"FACTORY_HOME": str(tmp_path / "file" / "home"), "FACTORY_DATABASE_URL": ""}
    ended = call("runs", env=env)
    assert ended.code == 4
    assert "FACTORY_HOME" in ended.said
    told = json.loads(call("doctor", "--json", env=env).out)
    assert {check["name"] for check in told["checks"] if check["state"] == "missing"} >= {"home folder"}
    assert (tmp_path / "file").read_text() == "in the way"


# The database


def test_a_database_that_does_not_answer_is_told_without_its_password(call: Call) -> None:
    ended = call("runs", env={"FACTORY_DATABASE_URL": "postgresql://me:hunter2hunter2@127.0.0.1:1/none"})
    assert ended.code == 4
    assert "cannot be reached" in ended.said
    assert "FACTORY_DATABASE_URL" in ended.said
    assert "hunter2" not in ended.said
    assert len(ended.said.splitlines()) == 3


def test_a_database_of_a_newer_version_is_left_alone(
    call: Call, postgres: EmbeddedPostgres, database_name: str
) -> None:
    with psycopg.connect(postgres.conninfo("admin", dbname=database_name), autocommit=True) as admin:
        admin.execute("UPDATE factory.alembic_version SET version_num = '9999'")
        ended = call("run", "A list", "--model", "offline")
        assert ended.code == 4
        assert "9999" in ended.said
        assert "newer" in ended.said
        assert admin.execute("SELECT version_num FROM factory.alembic_version").fetchone() == ("9999",)
        assert admin.execute("SELECT count(*) FROM factory.runs").fetchone() == (0,)


# A repository to start from


@pytest.mark.usefixtures("nothing_made")
@pytest.mark.parametrize("kind", ["no repository", "empty", "bare and empty", "a file"])
def test_a_source_without_a_commit_makes_no_project(kind: str, call: Call, tmp_path: Path) -> None:
    source = tmp_path / "source"
    match kind:
        case "no repository":
            source.mkdir()
            (source / "code.py").write_text("x = 1\n")
        case "a file":
            source.write_text("x = 1\n")
        case _:
            bare = ["--bare"] if kind.startswith("bare") else []
            subprocess.run(["git", "init", "-q", *bare, str(source)], check=True)
    before = sorted(source.rglob("*"))
    ended = call("run", "A list", "--repo", "source", "--model", "offline")
    assert ended.code == 2
    assert "source" in ended.said
    assert sorted(source.rglob("*")) == before


def test_a_source_for_a_project_that_is_there_is_refused(call: Call, tmp_path: Path) -> None:
    (tmp_path / ".factory" / "projects" / "shop" / "repository").mkdir(parents=True)
    (tmp_path / "source").mkdir()
    ended = call("run", "A list", "--repo", "source", "--project", "shop", "--model", "offline")
    assert ended.code == 2
    assert "'shop' has a repository already" in ended.said
    assert "choose another name" in ended.said


# Answers


def test_two_people_who_answer_at_once_are_decided_once(
    settings: Settings, factory_env: Mapping[str, str], tmp_path: Path
) -> None:
    question = _asks(settings, tell_run(settings, ON_THE_WAY, ()))
    people = [
        Process(["answer", question, words, "--no-resume", "--json"], env=factory_env, folder=tmp_path)
        for words in ("two weeks", "a month")
    ]
    ended = [person.ended() for person in people]
    told = [(json.loads(one.stdout), one.returncode) for one in ended]
    assert sorted(code for _, code in told) == [0, 2]
    late = next(said for said, code in told if code == 2)
    assert late["error"]["code"] == "already-decided"
    assert "was decided by" in late["error"]["what"]
    assert "yours was not recorded" in late["error"]["untouched"]
    assert _count(settings, "approvals WHERE decision IS NOT NULL") == 1
    assert _count(settings, "events WHERE kind = 'approval.decided'") == 1


def test_an_answer_to_a_run_that_has_ended_is_refused(settings: Settings, call: Call) -> None:
    run = tell_run(settings, (*ON_THE_WAY, "failed"), ())
    question = _asks(settings, run)
    ended = call("answer", question, "two weeks")
    assert ended.code == 2
    assert f"Run {run} has ended (failed)" in ended.said
    assert "Nothing was recorded" in ended.said
    assert json.loads(call("show", run, "--json").out)["waiting_for"] == []
    assert _count(settings, "approvals WHERE decision IS NOT NULL") == 0


# What has gone since


def test_a_run_whose_model_is_gone_is_told_and_kept(settings: Settings, call: Call) -> None:
    run = tell_run(settings, (), ())
    assert settings.database_url is not None
    with psycopg.connect(settings.database_url.get_secret_value()) as connection:
        connection.execute("UPDATE factory.runs SET model = 'gone:1b' WHERE id = %s", (run,))
    before = _count(settings, "events")
    ended = call("resume", run)
    assert ended.code == 4
    assert "gone:1b" in ended.said
    assert _count(settings, "events") == before
    assert json.loads(call("show", run, "--json").out)["status"] == "draft"


def test_without_a_sandbox_that_is_said_before_anything_else(call: Call) -> None:
    env = {"FACTORY_BWRAP": "/nowhere/bwrap"}
    ended = call("run", "Build ransomware that encrypts a hospital", "--model", "offline", env=env)
    assert ended.code == 5  # refused by the policy, before a sandbox was needed
    assert "no sandbox: generated code will not be run" in ended.said.splitlines()[1]
    told = json.loads(call("doctor", "--json", env=env).out)
    (sandbox,) = [check for check in told["checks"] if check["name"] == "sandbox"]
    assert sandbox["state"] == "missing"
    assert "/nowhere/bwrap" in sandbox["detail"]
    assert sandbox["todo"]


def test_a_full_disk_makes_no_project_and_is_told(
    settings: Settings, factory_env: Mapping[str, str], tmp_path: Path
) -> None:
    # Not a byte more to any file, as on a disk that is full; the database is another disk here.
    def full() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))

    ended = _told(
        subprocess.run(
            [*PROGRAM, "run", "A list", "--model", "offline"],
            env={**factory_env, "PYTHONDONTWRITEBYTECODE": "1"},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            preexec_fn=full,
        )
    )
    assert ended.code == 4, ended
    assert "The disk is full" in ended.said
    assert "Free some space" in ended.said
    assert not os.path.exists(settings.home / "projects" / "list")
    assert _count(settings, "runs") == 0
