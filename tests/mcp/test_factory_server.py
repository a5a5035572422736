"""The factory over MCP: real runs of the small pack, driven by server processes of their own."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.doubles.ollama_server import OllamaServer
from tests.mcp.clients import Client, over_http, over_stdio, served_over_http
from tests.packs.brain import brain

PACKS = Path(__file__).parent.parent / "packs"


@pytest.fixture
def env(
    ollama_server: OllamaServer,
    factory_env: Mapping[str, str],
) -> dict[str, str]:
    """The environment of a factory on the small pack."""
    ollama_server.brain = brain()
    return {
        **factory_env,
        "FACTORY_PACK": "small",
        "FACTORY_PACK_DIRS": str(PACKS),
        "FACTORY_OLLAMA_URL": ollama_server.url,
    }


async def _until(client: Client, kinds: set[str], status: str = "") -> Any:
    """The newest run's status, once it waits for just these kinds of questions, or has this status."""
    async with asyncio.timeout(120):
        while True:
            seen = await client.call("status")
            assert seen["stopped_because"] is None
            if {question["kind"] for question in seen["questions"]} == kinds and not seen["driven_here"]:
                assert status in ("", seen["run"]["status"])
                return seen
            await asyncio.sleep(0.2)


def _of(seen: Any, kind: str) -> str:
    return next(q["approval_id"] for q in seen["questions"] if q["kind"] == kind)


async def test_an_editor_submits_and_answers_and_a_director_approves(
    env: dict[str, str], tmp_path: Path
) -> None:
    async with over_stdio(["mcp", "factory"], env, tmp_path) as operator:
        submitted = await operator.call("submit", requirement="Small pages", project="pages")
        run_id = submitted["run"]["run_id"]
        seen = await _until(operator, {"clarification", "escalation"})
        for kind, words in (("clarification", "no extra"), ("escalation", "use blue paint")):
            decided = await operator.call("answer", approval_id=_of(seen, kind), text=words)
            assert decided["decision"] == "respond"
            assert "operator, by MCP" in decided["decided_by"]
        twice = await operator.refusal("answer", approval_id=_of(seen, "escalation"), text="red")
        assert "already-decided" in twice
        review = _of(await _until(operator, {"review"}), "review")
        for tool in ("approve", "reject"):
            refused = await operator.refusal(tool, approval_id=review)
            assert "not-permitted" in refused
            assert "director" in refused

    with served_over_http(["mcp", "factory", "--role", "director"], env, tmp_path) as served:
        async with over_http(served) as director:
            assert (await director.call("list_runs"))["result"][0]["run_id"] == run_id
            await director.call("approve", approval_id=review, note="well done")
            ended = await _until(director, set(), "completed")
            assert {stage["verdict"] for stage in ended["run"]["stages"]} == {"pass", "skipped"}


async def test_an_auditor_reads_and_does_nothing_else(env: dict[str, str], tmp_path: Path) -> None:
    async with over_stdio(["mcp", "factory", "--role", "auditor"], env, tmp_path) as auditor:
        assert (await auditor.call("list_runs"))["result"] == []
        for tool, arguments in {
            "submit": {"requirement": "Small pages"},
            "resume": {"run": "last"},
            "approve": {"approval_id": "approval-1"},
            "reject": {"approval_id": "approval-1"},
        }.items():
            assert "not-permitted" in await auditor.refusal(tool, **arguments)
        assert (await auditor.call("list_runs"))["result"] == []


def thrifty(env: Mapping[str, str], tmp_path: Path) -> None:
    """The operator's settings of a project whose runs may spend half a dollar."""
    home = Path(env.get("FACTORY_HOME", tmp_path / ".factory"))
    settings = home / "projects" / "thrifty" / "project.toml"
    settings.parent.mkdir(parents=True)
    settings.write_text("[budget]\nrun = 0.50\n")


async def test_a_client_gives_a_run_a_budget(env: dict[str, str], tmp_path: Path) -> None:
    thrifty(env, tmp_path)
    async with over_stdio(["mcp", "factory"], env, tmp_path) as operator:
        run = {"requirement": "Small pages", "project": "thrifty", "pipeline": "one", "budget": "$0.10"}
        submitted = await operator.call("submit", **run)
        await _until(operator, {"review"})
        told = (await operator.call("status", run=submitted["run"]["run_id"]))["run"]["budgets"]
        assert [each["cap_usd"] for each in told if each["scope"] == "run"] == ["0.10"], told


async def test_bad_input_starts_nothing(env: dict[str, str], tmp_path: Path) -> None:
    thrifty(env, tmp_path)
    async with over_stdio(["mcp", "factory", "--role", "director"], env, tmp_path) as director:
        for wrong, code in (
            ({"requirement": " \n "}, "requirement-invalid"),
            ({"requirement": "x" * 100_001}, "requirement-invalid"),
            ({"requirement": "x", "pipeline": "nowhere"}, "unknown-pipeline"),
            ({"requirement": "x", "project": "../../evil"}, "project-name-invalid"),
            ({"requirement": "x", "budget": "a lot"}, "amount-invalid"),
            ({"requirement": "x", "project": "thrifty", "budget": "0.60"}, "budget-too-large"),
            ({"requirement": 7}, "string_type"),
            ({}, "missing"),
        ):
            assert code in await director.refusal("submit", **wrong)
        assert "not-found" in await director.refusal("status", run="run-nowhere")
        assert "approval-not-found" in await director.refusal("answer", approval_id="x", text="y")
        assert "approval-not-found" in await director.refusal("approve", approval_id="x")
        assert (await director.call("list_runs"))["result"] == []
