"""What a run teaches goes onto its team's page, and the next run's brief has it."""

from __future__ import annotations

from graph.learning import LEARNED
from graph.runner import Factory
from memory.mental_models.service import MentalModels
from tests.graph.conftest import OpenSmall
from tests.packs.brain import Chat, result, write


def scout(chat: Chat) -> str:
    return write("docs/scout.md", "# Scout\n\nA loan lasts 21 days.") if chat.turn == 0 else "Done."


def report(_: Chat) -> str:
    return result(verified_facts=["A loan lasts 21 days."])


async def completed(factory: Factory, project: str) -> str:
    run_id = await factory.submit("Small pages", pipeline="one", project=project)
    [review] = (await factory.drive(run_id)).waiting
    await factory.answer(review.id, "approve", None, by="me")
    assert (await factory.drive(run_id)).status == "completed"
    return run_id


async def brief_of(factory: Factory, run_id: str) -> str:
    [event] = await factory.events.read(run_id, kinds=["stage.snapshot"])
    texts = await factory.events.texts(run_id, [event.seq])
    return str(texts[event.seq, "brief"].value)


async def test_a_stage_refreshes_its_teams_page_and_the_next_run_is_given_it(open_small: OpenSmall) -> None:
    async with open_small({"scout/work": scout, "scout/report": report}) as factory:
        first = await completed(factory, "library")
        [learned] = await factory.events.read(first, kinds=[LEARNED])
        memories = await factory.services.memory.of("library", factory.services.models)
        models = MentalModels(memories)
        page = await models.page("library", "scout")
        assert learned.payload["version"] == page.version == 1
        assert "A loan lasts 21 days." in page.text
        mine = page.text + "\n- Ask Anna before you change fines."
        await models.edit("library", "scout", mine, based_on=1, by="anna")
        brief = await brief_of(factory, await completed(factory, "library"))
        assert "## What the team has learned" in brief
        assert "> - Ask Anna before you change fines." in brief
        assert brief.count("A loan lasts 21 days.") == 1, "what is recalled anyway is not said twice"


async def test_what_another_open_run_claims_is_not_on_the_page_of_a_brief(open_small: OpenSmall) -> None:
    async with open_small({"scout/work": scout, "scout/report": report}) as factory:
        waiting = await factory.submit("Small pages", pipeline="one", project="library")
        await factory.drive(waiting)
        other = await factory.submit("Small pages", pipeline="one", project="library")
        await factory.drive(other)
        brief = await brief_of(factory, other)
        assert "A loan lasts 21 days." not in brief
