"""What Langfuse is told of a real run of the small pack, and what the run notices of Langfuse: nothing."""

import base64
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from uuid import uuid4

import pytest
from langchain_core.messages import HumanMessage

from chat.asking import Turn, ask
from governance.approvals import Decision
from graph.runner import Factory
from models.calls import Call
from models.errors import ContextOverflow
from tests.doubles.langfuse_server import LangfuseServer
from tests.doubles.ollama_server import OllamaServer
from tests.graph.conftest import OpenSmall
from tests.packs.brain import result
from workspace.project_settings import operators_file

CANARY = "sk-proj-canary" + "a1B2c3D4e5F6g7H8i9J0"
VALUE = "correct horse battery staple"
"""The value of a variable that is named like a secret."""


@pytest.fixture
def langfuse() -> Iterator[LangfuseServer]:
    with LangfuseServer() as server:
        yield server


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch, langfuse: LangfuseServer) -> tuple[str, str]:
    """A pair of its own for each test: the SDK keeps one client for each public key of a process."""
    public, secret = f"pk-lf-{uuid4()}", f"sk-lf-{uuid4()}"
    monkeypatch.setenv("LANGFUSE_PUBLIC_KEY", public)
    monkeypatch.setenv("LANGFUSE_SECRET_KEY", secret)
    monkeypatch.setenv("LANGFUSE_HOST", langfuse.url)
    monkeypatch.setenv("SHOP_PASSWORD", VALUE)
    return public, secret


async def completed(factory: Factory, project: str | None = None) -> str:
    """A run that went round once more and was then approved; what its teams ask is answered."""
    run_id = await factory.submit(f"Small pages; the shop's login is {VALUE}", project=project, by="grace")
    decisions: list[tuple[Decision, str | None]] = [("respond", f"again, with {VALUE}"), ("approve", None)]
    while asked := (await factory.drive(run_id)).waiting:
        decision, text = decisions.pop(0) if asked[0].kind == "review" else ("respond", "blue")
        await factory.answer(asked[0].id, decision, text, by="ada")
    assert (await factory.summary(run_id)).status == "completed"
    return run_id


def keep_private(factory: Factory, project: str) -> None:
    """The operator forbids that anything of the project leaves the machine."""
    file = operators_file(factory.services.settings.home, project)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("[models]\nlocal_only = true\n")


async def test_each_model_call_of_a_run_is_traced_with_its_session_and_tags(
    open_small: OpenSmall, langfuse: LangfuseServer, keys: tuple[str, str]
) -> None:
    async with open_small() as factory:
        run_id = await completed(factory)
        async with factory.db.pool.connection() as conn:
            rows = await (
                await conn.execute(
                    "SELECT team, call, alias, model FROM factory.model_calls WHERE run_id = %s",
                    [run_id],
                )
            ).fetchall()
    assert len(rows) == len(langfuse.spans) > 3
    assert {each["session.id"] for each in langfuse.spans} == {run_id}
    assert {each["user.id"] for each in langfuse.spans} == {"grace"}
    assert sorted(each["name"] for each in langfuse.spans) == sorted(
        f"{row['team']}/{row['call']}" for row in rows
    )
    assert {frozenset(each["langfuse.trace.tags"]) for each in langfuse.spans} == {
        frozenset((row["team"], row["alias"])) for row in rows
    }
    assert {each["langfuse.observation.model.name"] for each in langfuse.spans} == {
        row["model"] for row in rows
    }
    assert all(each["langfuse.observation.input"] for each in langfuse.spans)
    assert all(each["langfuse.observation.output"] for each in langfuse.spans)
    assert all("input" in each["langfuse.observation.usage_details"] for each in langfuse.spans)
    # Calls overlap in a wave, and none is a part of another one.
    assert len({each["trace"] for each in langfuse.spans}) == len(langfuse.spans)
    assert langfuse.logins == {"Basic " + base64.b64encode(":".join(keys).encode()).decode()}


async def test_verdicts_of_the_gate_and_decisions_of_a_review_arrive_as_scores_of_the_run(
    open_small: OpenSmall, langfuse: LangfuseServer, keys: tuple[str, str]
) -> None:
    async with open_small() as factory:
        run_id = await completed(factory)
        gates = await factory.events.read(run_id, kinds=["gate.decided"])
    assert {each["sessionId"] for each in langfuse.scores} == {run_id}
    told = {name: [each for each in langfuse.scores if each["name"] == name] for name in ("gate", "review")}
    assert sorted((each["metadata"]["team"], each["value"]) for each in told["gate"]) == sorted(
        (str(event.team), str(event.payload["verdict"])) for event in gates
    )
    assert [each["value"] for each in told["review"]] == ["respond", "approve"]
    assert {each["metadata"]["by"] for each in told["review"]} == {"ada"}
    assert told["review"][0]["comment"] == "again, with [redacted]"
    assert len({each["id"] for each in langfuse.scores}) == len(langfuse.scores)


async def test_no_secret_reaches_the_traces(
    open_small: OpenSmall, langfuse: LangfuseServer, keys: tuple[str, str]
) -> None:
    written = f"```write docs/maker.md\n# Maker\n{CANARY} {VALUE}\n```\n"

    rules = {
        "maker/work": lambda chat: written if chat.turn == 0 else f"Done with {CANARY}.",
        "maker/report": lambda chat: result(reasoning=f"It is {CANARY}, {VALUE}"),
    }
    async with open_small(rules) as factory:
        run_id = await factory.submit(f"Small pages; the shop's login is {VALUE}")
        await factory.drive(run_id)
    arrived = langfuse.everything()
    assert "maker/work" in arrived
    assert "maker/report" in arrived
    assert "[redacted]" in arrived
    assert CANARY not in arrived
    assert VALUE not in arrived
    assert keys[1] not in arrived


async def test_a_call_that_fails_is_traced_as_an_error(
    open_small: OpenSmall,
    ollama_server: OllamaServer,
    langfuse: LangfuseServer,
    keys: tuple[str, str],
) -> None:
    async with open_small() as factory:
        run_id = await factory.submit("Small pages", project="pages")
        models = await factory.services.models_for(run_id, "maker")
        ollama_server.fail("too-long")
        call = Call(run_id, "maker", "author", "work", "work/1")
        with pytest.raises(ContextOverflow):
            await models.complete("factory/fast", [HumanMessage("A page")], call=call)
    (span,) = langfuse.spans
    assert span["langfuse.observation.level"] == "ERROR"
    assert span["langfuse.observation.status_message"].startswith("ContextOverflow: ")


async def test_nothing_of_a_local_only_project_arrives(
    open_small: OpenSmall, langfuse: LangfuseServer, keys: tuple[str, str]
) -> None:
    async with open_small() as factory:
        keep_private(factory, "private")
        await completed(factory, project="private")
        assert factory.services.models.traces
    assert langfuse.asked == 0


async def test_no_talk_about_a_local_only_project_arrives(
    open_small: OpenSmall, langfuse: LangfuseServer, keys: tuple[str, str]
) -> None:
    def turn(project: str) -> Turn:
        return Turn(f"about-{project}", "message", "1", "maker", "author", "factory/fast", project, "ada")

    async with open_small() as factory:
        keep_private(factory, "private")
        for project in ("private", "open"):
            await ask(
                factory, turn(project), [HumanMessage("---\ncall: talk\nteam: maker\n---\nWhat is it?")]
            )
    assert {(each["session.id"], each["user.id"]) for each in langfuse.spans} == {("chat_about-open", "ada")}


@pytest.mark.parametrize("how", [pytest.param("away", marks=pytest.mark.slow), "hanging"])
async def test_a_run_ends_as_ever_when_langfuse_is(
    how: str,
    open_small: OpenSmall,
    langfuse: LangfuseServer,
    keys: tuple[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    langfuse.hangs = how == "hanging"
    if how == "away":
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            monkeypatch.setenv("LANGFUSE_HOST", f"http://127.0.0.1:{free.getsockname()[1]}")
    async with open_small() as factory:
        await completed(factory)
        ending = time.monotonic()
    assert time.monotonic() - ending < 60  # it waits 5 for the traces; an answer never comes
    assert not langfuse.spans
    assert (langfuse.asked > 0) == langfuse.hangs


async def test_settings_that_langfuse_refuses_do_not_keep_a_factory_from_opening(
    open_small: OpenSmall, keys: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LANGFUSE_SAMPLE_RATE", "many")
    async with open_small() as factory:
        assert not factory.services.models.traces


_OPEN = """
import asyncio, sys
from core.settings import Settings
from models.service import Models

async def main():
    async with await Models.open(Settings(), None, override="offline") as models:
        print(models.traces, "langfuse" in sys.modules)

asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("given", "said"),
    [
        pytest.param({}, "False False", marks=pytest.mark.slow),
        ({"LANGFUSE_PUBLIC_KEY": "pk-lf-1"}, "False False"),
        ({"LANGFUSE_PUBLIC_KEY": "pk-lf-1", "LANGFUSE_SECRET_KEY": "sk-lf-1"}, "True True"),
    ],
)
def test_langfuse_is_imported_only_where_both_its_keys_are_set(
    given: dict[str, str], said: str, factory_env: dict[str, str]
) -> None:
    env = {name: value for name, value in factory_env.items() if not name.startswith("LANGFUSE_")}
    done = subprocess.run(
        [sys.executable, "-c", _OPEN], env=env | given, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == said


def test_a_process_ends_though_langfuse_hangs(langfuse: LangfuseServer, factory_env: dict[str, str]) -> None:
    langfuse.hangs = True
    told = _OPEN.replace(
        "        print(", "        models.score(Score('run', 'key', 'gate', 'pass'))\n        print("
    )
    told = "from models.scores import Score\n" + told
    env = {"LANGFUSE_PUBLIC_KEY": "pk-lf-1", "LANGFUSE_SECRET_KEY": "sk-lf-1", "LANGFUSE_HOST": langfuse.url}
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", told], env=factory_env | env, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0
    assert "traces left behind" in done.stderr
    assert langfuse.asked > 0
    assert time.monotonic() - began < 30  # the SDK alone tries for longer than that
