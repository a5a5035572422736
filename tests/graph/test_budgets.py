"""Runs under a budget, over real HTTP: they pause, are extended, and stop, with no call beyond."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from langgraph.types import Command

from core.audit import verify
from core.settings import Settings
from governance.approvals import AlreadyDecided, Approval
from graph.driver import Outcome
from graph.runner import Factory
from models.spending import caps
from models.spending.amount import AmountInvalid
from models.spending.costs import DIMENSIONS, costs
from tests.doubles.openai_server import OpenAIServer
from tests.models.conftest import QUICK, toml
from tests.packs.brain import Chat, Rule, ask, brain, write

PACKS = Path(__file__).parent.parent / "packs"
KEY = "sk-double-0123456789abcdef"
PRICE = Decimal("10")
"""USD per million tokens of a prompt; answers cost nothing, so that an estimate is near to the truth."""


def two_pages(chat: Chat) -> str:
    """What the maker owes."""
    pages = ("docs/maker.md", "docs/extra.md")
    return write(pages[chat.turn], "# A page") if chat.turn < 2 else "Done."


PLAIN: Mapping[str, Rule] = {"maker/work": two_pages}

OpenPaid = Callable[..., AbstractAsyncContextManager[Factory]]


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer(brain=brain({}), keys={KEY}) as running:
        yield running


@pytest.fixture
def open_paid(
    server: OpenAIServer, factory_env: Mapping[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> OpenPaid:
    """Opens a factory on the small pack whose every alias is one paid account."""

    @asynccontextmanager
    async def opened(
        rules: Mapping[str, Rule] | None = None,
        *,
        price: Decimal | None = PRICE,
        account: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> AsyncIterator[Factory]:
        server.brain = brain({**PLAIN, **(rules or {})})
        monkeypatch.setenv("KEY_MAIN", KEY)
        prices = {} if price is None else {"input_price": float(price), "output_price": 0}
        aliases = ("factory/architect", "factory/coder", "factory/fast", "factory/cheap")
        entry = {
            "provider": "openai",
            "base_url": server.url,
            "key_env": "KEY_MAIN",
            "models": ["gpt-double"],
        }
        tables = {
            **QUICK,
            "accounts": {"main": {**entry, **(account or {})}},
            "pools": {"cloud": {"accounts": ["main"]}},
            "models": {"gpt-double": {"num_ctx": 65_536, "capabilities": ["format"], **prices}},
            "aliases": {alias: ["pool:cloud"] for alias in aliases},
        }
        file = tmp_path / "models.toml"
        file.write_text(toml(tables), encoding="utf-8")
        settings: dict[str, Any] = {
            "home": tmp_path / "home",
            "database_url": factory_env["FACTORY_DATABASE_URL"],
            "pack": "small",
            "pack_dirs": [PACKS],
            "ollama_url": "http://127.0.0.1:1",
            "models_file": file,
        }
        async with Factory.open(Settings(**(settings | more))) as factory:
            yield factory

    return opened


def charged(server: OpenAIServer, price: Decimal = PRICE) -> Decimal:
    """What the server would put on its bill."""
    return server.counted[KEY].input_tokens * price / 1_000_000 if KEY in server.counted else Decimal(0)


async def spent(factory: Factory, run_id: str) -> Decimal:
    return (await costs(factory.db, "team", run_id=run_id)).total.cost_usd


def the_question(outcome: Outcome) -> Approval:
    (asked,) = outcome.waiting
    assert (outcome.status, asked.kind) == ("paused", "budget")
    return asked


async def a_whole_run(open_paid: OpenPaid) -> Decimal:
    """What the run costs that nobody limits."""
    async with open_paid() as factory:
        run_id = await factory.submit("Small pages", approve_all=True)
        assert (await factory.drive(run_id)).status == "completed"
        return await spent(factory, run_id)


async def test_a_run_pauses_at_ninety_percent_is_extended_once_and_stops_at_the_new_cap_with_no_call_beyond(
    open_paid: OpenPaid, server: OpenAIServer
) -> None:
    price = Decimal(4)

    def slowly(chat: Chat) -> str:
        """Seven calls in place of two, so that one of them is little beside the budget."""
        pages = (
            [f"docs/{chat.team}.md", "docs/extra.md"] if chat.team == "maker" else [f"docs/{chat.team}.md"]
        )
        pages += [f"docs/{chat.team}{number}.md" for number in range(6 - len(pages))]
        return write(pages[chat.turn], f"# Page {chat.turn}") if chat.turn < len(pages) else "Done."

    teams = ("scout", "maker", "painter", "closer")
    async with open_paid({f"{team}/work": slowly for team in teams}, price=price) as factory:
        run_id = await factory.submit("Small pages", approve_all=True, budget_usd=Decimal("0.10"))
        asked = the_question(await factory.drive(run_id))
        first = charged(server, price)
        assert Decimal("0.09") <= first <= Decimal("0.10")
        assert await spent(factory, run_id) == first
        assert "of $0.10 is spent" in asked.question

        with pytest.raises(AmountInvalid, match="no amount"):
            await factory.answer(asked.id, "respond", "a little", by="Ada")
        await factory.answer(asked.id, "respond", "$0.02", by="Ada")
        with pytest.raises(AlreadyDecided):
            await factory.answer(asked.id, "respond", "5", by="Grace")
        again = the_question(await factory.drive(run_id))
        assert again.id != asked.id
        assert "of $0.12 is spent" in again.question
        second = charged(server, price)
        assert first < second <= Decimal("0.12")

        requests = len(server.requests)
        assert the_question(await factory.drive(run_id)).id == again.id  # nobody has answered
        await factory.answer(again.id, "reject", "enough", by="Ada")
        outcome = await factory.drive(run_id)
        assert (outcome.status, len(server.requests), charged(server, price)) == ("failed", requests, second)
        summary = await factory.summary(run_id)
        assert "stopped by Ada (enough)" in str(summary.failure)
        (budget,) = await caps.of_run(factory.db, run_id, summary.project)
        assert (budget.cap_usd, budget.extensions) == (Decimal("0.12"), 1)
        assert (budget.spent_usd, budget.reserved_usd) == (second, 0)
        # What was made before is kept.
        repository = await factory.services.repository(run_id)
        assert "docs/scout.md" in await repository.files(await repository.run_head(run_id))
        for by in DIMENSIONS:
            found = await costs(factory.db, by, run_id=run_id)
            assert sum(row.cost_usd for row in found.rows) == found.total.cost_usd == second
        assert (await verify(factory.db, run_id)).ok


async def test_an_extended_run_goes_on_to_its_end_and_costs_what_it_would_have_cost(
    open_paid: OpenPaid, server: OpenAIServer
) -> None:
    async with open_paid() as factory:
        run_id = await factory.submit("Small pages", approve_all=True, budget_usd=Decimal("0.05"))
        asked = the_question(await factory.drive(run_id))
        await factory.answer(asked.id, "respond", "5", by="Ada")
        assert (await factory.drive(run_id)).status == "completed"
        assert await spent(factory, run_id) == charged(server) > Decimal("0.05")
        changes = await factory.events.read(run_id, kinds=["run.status"])
        assert "paused" in [change.payload["to"] for change in changes]
        (extended,) = await factory.events.read(run_id, kinds=["budget.extended"])
        assert extended.payload["amount_usd"] == "5.00" or extended.payload["amount_usd"] == "5"


async def test_a_run_without_a_cent_pauses_before_its_plan_and_ends_in_order(
    open_paid: OpenPaid, server: OpenAIServer
) -> None:
    async with open_paid() as factory:
        run_id = await factory.submit("Small pages", budget_usd=Decimal(0))
        asked = the_question(await factory.drive(run_id))
        assert (server.requests, (await factory.summary(run_id)).stages) == ([], [])
        await factory.answer(asked.id, "reject", None, by="Ada")
        outcome = await factory.drive(run_id)
        assert (outcome.status, server.requests) == ("failed", [])
        assert "stopped by Ada" in str((await factory.summary(run_id)).failure)


async def test_a_langgraph_client_that_answers_nonsense_leaves_the_question_open(
    open_paid: OpenPaid, server: OpenAIServer
) -> None:
    async with open_paid() as factory:
        run_id = await factory.submit("Small pages", approve_all=True, budget_usd=Decimal(0))
        asked = the_question(await factory.drive(run_id))
        graph = await factory.graph(await factory.services.run(run_id))
        config: Any = {"configurable": {"thread_id": run_id}}
        answer = {"decisions": [{"type": "respond", "message": "-5"}]}
        await graph.ainvoke(Command(resume=answer), config)
        assert the_question(await factory.drive(run_id)).id == asked.id
        answer = {"decisions": [{"type": "respond", "message": "3"}]}
        await graph.ainvoke(Command(resume=answer), config)
        assert (await factory.drive(run_id)).status == "completed"


async def test_stages_side_by_side_ask_one_question_and_go_on_together(
    open_paid: OpenPaid, server: OpenAIServer
) -> None:
    whole = await a_whole_run(open_paid)
    server.counted.clear()
    async with open_paid() as factory:
        # maker and painter work side by side around the middle.
        run_id = await factory.submit(
            "Small pages", approve_all=True, budget_usd=(whole / 2).quantize(Decimal("0.001"))
        )
        outcome = await factory.drive(run_id)
        questions: set[str] = set()
        while outcome.waiting:
            asked = the_question(outcome)
            assert asked.id not in questions
            questions.add(asked.id)
            await factory.answer(asked.id, "approve", None, by="Ada")
            outcome = await factory.drive(run_id)
        assert outcome.status == "completed"
        assert 1 <= len(questions) <= 2
        assert await spent(factory, run_id) == charged(server)


async def test_the_operators_file_sets_budgets_of_project_stage_and_team(
    open_paid: OpenPaid, server: OpenAIServer, tmp_path: Path
) -> None:
    file = tmp_path / "home" / "projects" / "shop" / "project.toml"
    file.parent.mkdir(parents=True)
    file.write_text("[budget]\nrun = 5\nproject = 9.5\nstage = 0.02\n[budget.teams]\nmaker = '4'\n")
    async with open_paid() as factory:
        run_id = await factory.submit("Small pages", project="shop", approve_all=True)
        asked = the_question(await factory.drive(run_id))
        assert asked.detail["budget"] == f"stage:{run_id}/scout"
        found = {
            (one.scope, one.subject): one.cap_usd for one in await caps.of_run(factory.db, run_id, "shop")
        }
        assert found["run", run_id] == 5
        assert found["project", "shop"] == Decimal("9.5")
        assert found["team", "shop/maker"] == 4
        assert found["stage", f"{run_id}/closer"] == Decimal("0.02")
        file.write_text("[budget]\n")
        await factory.answer(asked.id, "approve", None, by="Ada")
        assert (await factory.drive(run_id)).status == "completed"


async def test_a_question_to_another_team_is_paid_from_what_the_asker_has_left(
    open_paid: OpenPaid, server: OpenAIServer, tmp_path: Path
) -> None:
    rules = {"scout/work": lambda chat: ask("maker", "Which colour?") if chat.turn == 0 else "Done."}
    file = tmp_path / "home" / "projects" / "shop" / "project.toml"
    file.parent.mkdir(parents=True)
    file.write_text("[budget]\nstage = 5\n")
    async with open_paid(rules) as factory:
        run_id = await factory.submit("Small pages", project="shop", pipeline="full")
        await factory.drive(run_id)
        found = {one.subject: one.spent_usd for one in await caps.of_run(factory.db, run_id, "shop")}
        rows = {row.name: row.cost_usd for row in (await costs(factory.db, "team", run_id=run_id)).rows}
        clarified = [
            e
            for e in await factory.events.read(run_id, kinds=["model.called"])
            if e.payload["call"] == "clarify"
        ]
        assert len(clarified) == 1
        assert clarified[0].team == "maker"
        asked = Decimal(str(clarified[0].payload["cost_usd"]))
        assert found[f"{run_id}/scout"] == rows["scout"] + asked


async def test_the_day_and_an_account_have_budgets_of_their_own(
    open_paid: OpenPaid, server: OpenAIServer
) -> None:
    async with open_paid(budget_day=Decimal("0.03")) as factory:
        run_id = await factory.submit("Small pages", approve_all=True)
        assert str(the_question(await factory.drive(run_id)).detail["budget"]).startswith("day:")
    async with open_paid(account={"budget_usd": 0.03}) as factory:
        run_id = await factory.submit("Other pages", project="other", approve_all=True)
        assert the_question(await factory.drive(run_id)).detail["budget"] == "account:main"


async def test_a_model_without_a_price_is_not_asked_under_a_budget_and_the_person_is_told_why(
    open_paid: OpenPaid, server: OpenAIServer
) -> None:
    async with open_paid(price=None) as factory:
        run_id = await factory.submit("Small pages", pipeline="one", budget_usd=Decimal(1))
        outcome = await factory.drive(run_id)
        assert server.requests == []
        assert [asked.kind for asked in outcome.waiting] == ["escalation"]
        assert "gpt-double has no price" in outcome.waiting[0].question


async def test_the_answer_of_one_of_two_people_counts_and_extends_once(
    open_paid: OpenPaid, server: OpenAIServer
) -> None:
    async with open_paid() as one, open_paid() as two:
        run_id = await one.submit("Small pages", approve_all=True, budget_usd=Decimal("0.05"))
        asked = the_question(await one.drive(run_id))
        said = await asyncio.gather(
            one.answer(asked.id, "respond", "3", by="Ada"),
            two.answer(asked.id, "respond", "4", by="Grace"),
            return_exceptions=True,
        )
        assert sum(isinstance(answer, AlreadyDecided) for answer in said) == 1
        outcomes = await asyncio.gather(one.drive(run_id), two.drive(run_id))
        assert {outcome.status for outcome in outcomes} == {"completed"}
        (budget,) = await caps.of_run(one.db, run_id, (await one.summary(run_id)).project)
        assert budget.extensions == 1
        assert budget.cap_usd in (Decimal("3.05"), Decimal("4.05"))
