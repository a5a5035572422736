"""What may not leave this machine does not, and keys are told to nobody."""

import json
import logging
import socket
from pathlib import Path
from typing import Any

import pytest

from core.database import Database
from core.events import EventLog
from models.catalogue import load
from models.errors import CatalogueInvalid, ModelFailure, UnknownModel
from tests.doubles.ollama_server import OllamaServer
from tests.doubles.openai_server import OpenAIServer
from tests.models.calling import CODER, a_call, say
from tests.models.routing.conftest import KEY, OpenCloud

CLOUD = {"base_url": "http://cloud.example/v1"}
SECRET = KEY.format(0)


@pytest.fixture
def beyond(server: OpenAIServer, monkeypatch: pytest.MonkeyPatch) -> OpenAIServer:
    """Everything beyond this machine: what leaves goes through this proxy, and is seen."""
    monkeypatch.setenv("HTTP_PROXY", server.url.removesuffix("/v1"))
    monkeypatch.setenv("HTTPS_PROXY", server.url.removesuffix("/v1"))
    monkeypatch.setenv("NO_PROXY", "")
    return server


async def test_cloud_is_reached_where_it_is_allowed(beyond: OpenAIServer, cloud: OpenCloud) -> None:
    models = await cloud(accounts={"far": CLOUD})
    assert (await say(models)).account == "far"
    assert beyond.paths == ["http://cloud.example/v1/chat/completions"]


@pytest.mark.parametrize("where", ["privacy", "project", "team", "view"])
async def test_local_only_reaches_nothing_beyond_this_machine(
    beyond: OpenAIServer, cloud: OpenCloud, where: str
) -> None:
    with OpenAIServer() as near:
        tables: dict[str, Any] = {
            "privacy": {"privacy": {"local_only": True}},
            "project": {"projects": {"p": {"local_only": True}}},
            "team": {"teams": {"t": {"local_only": True}}},
        }.get(where, {})
        models = await cloud(accounts={"far": CLOUD, "near": {"base_url": near.url}}, **tables)
        view = models.view(project="p", team="t", local_only=where == "view")
        for number in range(8):
            assert (await say(view, call=a_call(key=str(number)))).account == "near"
        near.fail("http-500")
        with pytest.raises(ModelFailure):
            await say(view, call=a_call(key="last"))
    assert beyond.paths == []


async def test_local_only_without_a_local_account_says_so(beyond: OpenAIServer, cloud: OpenCloud) -> None:
    models = await cloud(accounts={"far": CLOUD})
    with pytest.raises(UnknownModel, match="local_only: none of its accounts is on this machine"):
        await say(models.view(project="p", local_only=True))
    assert beyond.paths == []


async def test_a_host_that_is_listed_counts_as_local_and_goes_round_the_proxy(
    beyond: OpenAIServer, cloud: OpenCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    _name(monkeypatch, "near.example", "127.0.0.1")
    with OpenAIServer() as near:
        base_url = near.url.replace("127.0.0.1", "near.example")
        listed = {"privacy": {"local_only": True, "local_hosts": ["near.example"]}}
        models = await cloud(accounts={"near": {"base_url": base_url}}, **listed)
        assert models.chains.fleet.deployments[0].account.local
        assert (await say(models)).account == "near"
    assert beyond.paths == []


async def test_a_redirect_off_this_machine_is_not_followed(beyond: OpenAIServer, cloud: OpenCloud) -> None:
    with OpenAIServer() as near:
        near.fail("redirect")
        models = await cloud(accounts={"near": {"base_url": near.url}})
        with pytest.raises(ModelFailure):
            await say(models.view(project=None, local_only=True))
    assert beyond.paths == []


async def test_a_model_that_ollama_passes_on_to_its_makers_is_not_local(
    ollama_server: OllamaServer, cloud: OpenCloud
) -> None:
    ollama_server.models["big:120b-cloud"] = ["completion"]
    models = await cloud(aliases={CODER: ["big:120b-cloud"]}, ollama=ollama_server)
    assert (await say(models)).model == "big:120b-cloud"
    with pytest.raises(UnknownModel, match="passes this model on"):
        await say(models.view(project="p", local_only=True))


async def test_a_refused_key_is_in_no_log_event_row_or_error(
    server: OpenAIServer, cloud: OpenCloud, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server.keys = set()  # and the server quotes the key in its refusal
    models = await cloud(db=database)
    with pytest.raises(ModelFailure) as failed:
        await say(models)
    events = await EventLog(database).read(a_call().run_id)
    assert [event.kind for event in events] == ["account.excluded"]
    assert events[0].payload["account"] == "a0"
    async with database.pool.connection() as connection:
        rows = await (await connection.execute("SELECT * FROM model_calls")).fetchall()
    told = [str(failed.value), repr(failed.value), caplog.text, str(rows), str(vars(models)), str(events)]
    told.append(json.dumps([event.payload for event in events]))
    assert not [text for text in told if SECRET in text or SECRET[:20] in text]


INLINE = [
    ('[accounts.a]\nprovider="openai"\nmodels=["m"]\nkey="{}"', "accounts.a.key"),
    ('[accounts.a]\nprovider="openai"\nmodels=["m"]\napi_key="{}"', "accounts.a.api_key"),
    ('[accounts.a]\nprovider="openai"\nmodels=["m"]\nkey_env="{}"', "accounts.a.key_env"),
    ('[accounts.a]\nprovider="openai"\nmodels=["m"]\nbase_url="https://u:{}@host/v1"', "accounts.a.base_url"),
    ('[providers.p]\nkind="openai"\ntoken="{}"', "providers.p.token"),
]


@pytest.mark.parametrize(("text", "field"), INLINE)
def test_a_key_in_the_file_is_refused_and_not_repeated(tmp_path: Path, text: str, field: str) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(text.format(SECRET))
    with pytest.raises(CatalogueInvalid) as refused:
        load(file)
    assert field in str(refused.value)
    assert "key_env" in str(refused.value)
    assert SECRET not in str(refused.value) + repr(refused.value) + str(refused.value.__context__)


async def test_a_key_file_that_others_may_read_is_warned_of(
    server: OpenAIServer, cloud: OpenCloud, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "key"
    file.write_text(SECRET + "\n")
    file.chmod(0o644)
    models = await cloud(accounts={"a": {"key_file": "key"}})
    assert "others may read a file of keys" in caplog.text
    assert (await say(models)).account == "a"
    assert list(server.counted) == [SECRET]
    caplog.clear()
    file.chmod(0o600)
    await cloud(accounts={"a": {"key_file": "key"}})
    assert "others may read" not in caplog.text


async def test_a_file_of_keys_is_an_account_for_each(
    server: OpenAIServer, cloud: OpenCloud, tmp_path: Path
) -> None:
    file = tmp_path / "keys"
    file.write_text("# the fleet\n" + "\n\n".join(KEY.format(n) for n in range(50)))
    file.chmod(0o600)
    models = await cloud(accounts={"fleet": {"keys_file": str(file)}})
    names = {deployment.account.name for deployment in models.chains.fleet.deployments}
    assert names == {f"fleet-{number}" for number in range(1, 51)}


async def test_an_account_without_its_key_is_left_out_and_said(
    server: OpenAIServer, cloud: OpenCloud, tmp_path: Path
) -> None:
    models = await cloud(accounts={"a": {}, "b": {"key_env": "NOT_SET"}})
    assert models.chains.fleet.unusable == {"b": "no key: NOT_SET is not set"}
    assert (await say(models)).account == "a"
    models = await cloud(accounts={"b": {"key_env": "NOT_SET"}})
    assert models.announcement, "nobody is there but the script"


def _name(monkeypatch: pytest.MonkeyPatch, name: str, address: str) -> None:
    """Let this process find `name` at `address`, whatever the machine's own names are."""
    found = socket.getaddrinfo

    def resolve(host: Any, *given: Any, **more: Any) -> Any:
        return found(address if host in (name, name.encode()) else host, *given, **more)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
