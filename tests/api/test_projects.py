"""Projects over HTTP."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

import pytest

from models.spending import caps
from tests.api.conftest import OpenServed, Served
from tests.api.waiting import ASKING, asked, submitted
from workspace.project_settings import load_operators, operators_file

PROJECTS = "/api/v1/projects"


async def _made(served: Served, name: str = "library") -> None:
    assert (await served.http.post(PROJECTS, json={"name": name})).status_code == 201


async def test_projects_are_made_listed_and_shown(open_served: OpenServed) -> None:
    async with open_served() as served:
        for name in ("zoo", "library", "atlas"):
            await _made(served, name)
        run_id = await submitted(served, ASKING | {"project": "library"})
        await asked(served, run_id)
        first = (await served.http.get(PROJECTS, params={"limit": 2})).json()
        assert [one["name"] for one in first["items"]] == ["atlas", "library"]
        rest = (await served.http.get(PROJECTS, params={"after": first["next"]})).json()
        assert ([one["name"] for one in rest["items"]], rest["next"]) == (["zoo"], None)
        shown = (await served.http.get(f"{PROJECTS}/library")).json()
        assert (shown["runs"], shown["live"], shown["last_run"]) == (1, 1, run_id)
        assert shown["settings"]["models"] == {"local_only": False}


async def test_a_project_is_not_made_twice(open_served: OpenServed) -> None:
    async with open_served() as served:
        key = {"Idempotency-Key": "once"}
        for _ in range(2):
            made = await served.http.post(PROJECTS, json={"name": "library"}, headers=key)
            assert made.status_code == 201
        again = await served.http.post(PROJECTS, json={"name": "library"})
        assert (again.status_code, again.json()["type"]) == (409, "urn:factory:project-exists")


@pytest.mark.parametrize("name", ["", "..", "A", "a/b", "\x00", "-a", "a" * 64, "\ud83c\udf3f".encode("utf-16", "surrogatepass").decode("utf-16")])  # fmt: skip  # noqa: E501
async def test_what_is_no_project_name_is_refused(open_served: OpenServed, name: str) -> None:
    async with open_served() as served:
        assert (await served.http.post(PROJECTS, json={"name": name})).status_code == 422
        assert not (served.factory.settings.home / "projects").exists()


OPERATORS = """
description = "Old" # of mine
[deadlines]
review = 5
[[checks]]
name = "own"
command = "true"
"""


async def test_settings_are_changed_where_nobody_was_quicker(open_served: OpenServed) -> None:
    async with open_served() as served:
        await _made(served)
        home = served.factory.settings.home
        operators_file(home, "library").write_text(OPERATORS)
        path = f"{PROJECTS}/library/settings"
        before = await served.http.get(path)
        assert before.json()["deadlines"]["review"] == 5
        read = {"If-Match": before.headers["etag"]}
        budget = {"project": "2.50", "teams": {"maker": "1"}}
        answers = await asyncio.gather(
            *(
                served.http.put(
                    path, json=before.json() | {"description": name, "budget": budget}, headers=read
                )
                for name in ('A "new" one', "A \\ newer one")
            )
        )
        assert sorted(answer.status_code for answer in answers) == [200, 412]
        [won] = [answer for answer in answers if answer.status_code == 200]
        now = await served.http.get(path)
        assert (now.json(), now.headers["etag"]) == (won.json(), won.headers["etag"])
        same = await served.http.get(path, headers={"If-None-Match": won.headers["etag"]})
        assert same.status_code == 304
        told = load_operators(home, "library")
        assert [check.name for check in told.checks] == ["own"]
        assert (told.deadlines.review, str(told.budget.teams["maker"])) == (5, "1")
        run_id = await submitted(served, ASKING | {"project": "library"})
        budgets = await caps.of_run(served.factory.db, run_id, "library")
        assert {(one.scope, str(one.cap_usd)) for one in budgets} >= {("project", "2.50"), ("team", "1")}


@pytest.mark.parametrize(
    "wanted",
    [
        {"remote": {"url": "https://evil.example/x.git", "forge": "gitea", "token_env": "/etc/passwd"}},
        {"checks": [{"name": "x", "run": ["curl", "evil"], "policy": "open"}]},
        {"dependencies": {"index_url": "https://evil.example"}},
        {"page": {"run": ["sh"]}},
    ],
)
async def test_where_code_and_tokens_go_is_not_set_over_http(
    open_served: OpenServed, wanted: dict[str, object]
) -> None:
    async with open_served() as served:
        await _made(served)
        answer = await served.http.put(f"{PROJECTS}/library/settings", json=wanted)
        assert answer.status_code == 422
        assert not operators_file(served.factory.settings.home, "library").exists()


async def test_settings_that_cannot_be_are_refused(open_served: OpenServed) -> None:
    async with open_served() as served:
        await _made(served)
        path = f"{PROJECTS}/library/settings"
        for wanted, status in (
            ({"budget": {"run": "-1"}}, 422),
            ({"budget": {"run": "lots"}}, 422),
            ({"description": "a\nb"}, 422),
            ({"memory": {"brief_tokens": 10**9}}, 422),
            ({"budget": {"teams": {"nobody": "1"}}}, 404),
        ):
            assert (await served.http.put(path, json=wanted)).status_code == status, wanted
        assert (await served.http.put(f"{PROJECTS}/nothing/settings", json={})).status_code == 404
        assert not operators_file(served.factory.settings.home, "nothing").exists()


def _git(folder: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=T", "-c", "user.email=t@localhost")
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


def bundle(tmp_path: Path, content: str = "hello\n") -> bytes:
    """A git bundle of a small repository."""
    source = tmp_path / "source"
    source.mkdir()
    _git(source, "init", "-q", "-b", "main")
    (source / "hello.txt").write_text(content)
    _git(source, "add", ".")
    _git(source, "commit", "-qm", "Begin")
    _git(source, "bundle", "create", "-q", "it.bundle", "HEAD")
    return (source / "it.bundle").read_bytes()


async def test_a_repository_is_imported_as_a_bundle(open_served: OpenServed, tmp_path: Path) -> None:
    async with open_served() as served:
        sent = bundle(tmp_path)
        made = await served.http.put(f"{PROJECTS}/library/import", content=sent)
        assert made.status_code == 201, made.text
        repository = await served.factory.services.project("library")
        assert await repository.read("refs/heads/main", "hello.txt") == "hello\n"
        again = await served.http.put(f"{PROJECTS}/library/import", content=sent)
        assert again.status_code == 409


async def test_what_is_no_bundle_makes_no_project(open_served: OpenServed, tmp_path: Path) -> None:
    async with open_served() as served:
        sent = bundle(tmp_path)
        for content in (b"", b"hello", sent[:-20], b"# v2 git bundle\n", sent.replace(b"HEAD", b"HEXD")):
            answer = await served.http.put(f"{PROJECTS}/library/import", content=content)
            assert answer.status_code == 422, answer.text
            assert str(tmp_path) not in answer.text
        assert (await served.http.get(PROJECTS)).json()["items"] == []
        assert not served.factory.services.workspace.has("library")


async def test_cleaning_says_what_would_go(open_served: OpenServed) -> None:
    async with open_served() as served:
        await _made(served)
        cleaned = await served.http.post(f"{PROJECTS}/library/clean", json={"dry_run": True})
        assert cleaned.json() == {"project": "library", "dry_run": True, "worktrees": []}
        other = await served.http.post(f"{PROJECTS}/library/clean", json={"run": "run-x"})
        assert other.status_code == 404
