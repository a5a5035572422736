"""The three forges, against a server that speaks their APIs."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.errors import FactoryError
from core.redaction import redact
from tests.doubles.forge_server import ForgeServer
from workspace import forges
from workspace.errors import WorkspaceError
from workspace.forges import Draft, Patience
from workspace.remote import Remote

NAMES = ("github", "gitlab", "gitea")
HURRY = Patience(attempts=3, first_seconds=0.001, longest_seconds=0.01, connect_seconds=5, answer_seconds=0.4)
DRAFT = Draft("factory/run-1", "trunk", "Add search", "Because.")

every_forge = pytest.mark.parametrize("name", NAMES)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ForgeServer]:
    bare = tmp_path / "forge" / "ada" / "shop.git"
    bare.mkdir(parents=True)
    script = """
        git init -q --bare -b trunk .
        git config http.receivepack true
        tree=$(git mktree </dev/null)
        commit=$(git -c user.name=a -c user.email=a@b commit-tree -m one $tree)
        git update-ref refs/heads/trunk $commit
        git update-ref refs/heads/factory/run-1 $commit
    """
    subprocess.run(["bash", "-ec", script], cwd=bare, check=True)
    with ForgeServer(tmp_path / "forge") as server:
        yield server


def remote(server: ForgeServer, name: str, **changes: Any) -> Remote:
    fields = {"url": server.git_url("ada/shop"), "forge": name, "api": server.api(name)}
    return Remote.model_validate(fields | changes)


async def ask(server: ForgeServer, name: str, draft: Draft = DRAFT, **changes: Any) -> forges.PullRequest:
    token = changes.pop("token", server.token)
    async with forges.connect(remote(server, name, **changes), token, HURRY) as forge:
        return await forges.request(forge, draft)


@every_forge
async def test_a_pull_request_is_opened_once_however_often_it_is_asked_for(
    server: ForgeServer, name: str
) -> None:
    first = await ask(server, name)
    second = await ask(server, name)
    assert first == second
    assert first.url == f"{server.url}/ada/shop/pull/1"
    assert first.state == "open"
    assert len(server.pulls) == 1
    opened = server.pulls[0]
    assert (opened["branch"], opened["base"], opened["title"], opened["body"]) == (
        DRAFT.branch,
        DRAFT.base,
        DRAFT.title,
        DRAFT.body,
    )


@every_forge
@pytest.mark.parametrize("state", ["closed", "merged"])
async def test_a_pull_request_that_a_person_has_ended_is_not_opened_again(
    server: ForgeServer, name: str, state: str
) -> None:
    await ask(server, name)
    server.pulls[0]["state"] = state
    assert (await ask(server, name)).state == state
    assert len(server.pulls) == 1


@every_forge
async def test_it_is_found_among_many_others(server: ForgeServer, name: str) -> None:
    await ask(server, name)
    for number in range(2, 9):
        server.pulls.append({**server.pulls[0], "number": number, "branch": f"feature/{number}"})
    assert (await ask(server, name)).number == 1
    assert len(server.pulls) == 8


@every_forge
@pytest.mark.parametrize("failure", [500, 502, 503, 429, "cut", "hang"])
async def test_what_passes_is_waited_out(server: ForgeServer, name: str, failure: int | str) -> None:
    server.failures = [failure]
    assert (await ask(server, name)).number == 1
    server.failures = [failure]
    assert (await ask(server, name)).number == 1
    assert len(server.pulls) == 1


@every_forge
@pytest.mark.parametrize("failure", ["after", "cut", "hang", 502])
async def test_creating_is_repeated_only_after_a_look_whether_it_was_done(
    server: ForgeServer, name: str, failure: int | str
) -> None:
    class OnPost(list[int | str]):
        def pop(self, *_: Any) -> Any:
            return failure if server.requests[-1][0] == "POST" and posts() == 1 else None

    def posts() -> int:
        return sum(method == "POST" for method, _ in server.requests)

    server.failures = OnPost([failure])
    assert (await ask(server, name)).number == 1
    assert len(server.pulls) == 1
    assert posts() == (1 if failure == "after" else 2)


@every_forge
async def test_the_open_one_is_taken_where_somebody_was_quicker_and_has_closed_another(
    server: ForgeServer, name: str
) -> None:
    class Meanwhile(list[int | str]):
        def pop(self, *_: Any) -> Any:
            if server.requests[-1][0] != "POST":
                return None
            server.pulls += [{**kept, "state": "open"}, {**kept, "number": 2, "state": "closed"}]
            return 422

    await ask(server, name)
    kept = server.pulls.pop()
    server.failures = Meanwhile([422])
    found = await ask(server, name)
    assert (found.number, found.state) == (1, "open")


EXPECTED: dict[int | str, type[FactoryError]] = {
    401: forges.ForgeUnauthorized,
    403: forges.ForgeForbidden,
    404: forges.ForgeNotFound,
    409: forges.ForgeRefused,
    422: forges.ForgeRefused,
    429: forges.RateLimited,
    500: forges.ForgeUnavailable,
    503: forges.ForgeUnavailable,
    301: forges.ForgeRefused,
    "cut": forges.ForgeUnavailable,
    "hang": forges.ForgeUnavailable,
}


@every_forge
@pytest.mark.parametrize(("failure", "expected"), EXPECTED.items())
async def test_what_stays_is_an_error_that_says_what_to_do_and_never_the_token(
    server: ForgeServer, name: str, failure: int | str, expected: type[FactoryError]
) -> None:
    server.failures = [failure] * 20
    with pytest.raises(expected) as raised:
        await ask(server, name)
    told = str(raised.value)
    assert "127.0.0.1" in told
    assert raised.value.todo
    assert server.token not in told
    repeated = expected in (forges.RateLimited, forges.ForgeUnavailable)
    assert len(server.requests) == (HURRY.attempts if repeated else 1)
    assert not server.pulls


@every_forge
async def test_a_rate_limit_that_wants_too_long_a_pause_is_told_at_once(
    server: ForgeServer, name: str
) -> None:
    server.failures, server.retry_after = [403] * 9, "3600"
    with pytest.raises(forges.RateLimited):
        await ask(server, name)
    assert len(server.requests) == 1


@every_forge
async def test_a_wrong_token_a_missing_repository_and_a_missing_base_are_told_apart(
    server: ForgeServer, name: str
) -> None:
    with pytest.raises(forges.ForgeUnauthorized):
        await ask(server, name, token="another-one")
    with pytest.raises(forges.ForgeNotFound):
        await ask(server, name, repository="ada/other")
    with pytest.raises(forges.ForgeRefused, match="nowhere"):
        await ask(server, name, Draft("factory/run-1", "nowhere", "x", "y"))


@every_forge
async def test_the_default_branch_is_asked_for(server: ForgeServer, name: str) -> None:
    async with forges.connect(remote(server, name), server.token, HURRY) as forge:
        assert await forges.default_branch(forge) == "trunk"


@every_forge
async def test_the_token_goes_into_a_header_and_not_into_the_address(server: ForgeServer, name: str) -> None:
    await ask(server, name)
    assert all(server.token not in path for _, path in server.requests)
    assert all(any(server.token in value for value in headers.values()) for headers in server.headers)
    assert server.token not in redact(f"a log with {server.token}")


async def test_a_branch_is_never_proposed_to_itself(server: ForgeServer) -> None:
    with pytest.raises(WorkspaceError, match="into itself"):
        await ask(server, "github", Draft("trunk", "trunk", "x", "y"))
    assert not server.requests


async def test_a_forge_that_is_not_there_is_unavailable(server: ForgeServer) -> None:
    with pytest.raises(forges.ForgeUnavailable, match="cannot be reached"):
        await ask(server, "github", api="http://127.0.0.1:9")


async def test_an_address_that_is_no_api_is_told(server: ForgeServer) -> None:
    with pytest.raises(forges.ForgeNotFound, match="404"):
        await ask(server, "github", api=server.url)
