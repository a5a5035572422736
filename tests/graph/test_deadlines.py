"""A question whose deadline passes resumes its run with `expired`; without a deadline it waits for ever."""

from datetime import timedelta
from typing import Any

import pytest

from core import clock
from governance.approvals import AlreadyDecided
from graph.queue.driving import Dispatch
from graph.runner import Factory
from tests.graph.conftest import OpenSmall
from tests.packs.brain import Chat
from workspace.project_settings import ProjectSettingsInvalid


class Later(clock.SystemClock):
    """The machine's clock, some time ahead."""

    ahead = timedelta()

    def now(self) -> Any:
        return super().now() + self.ahead


def idle(chat: Chat) -> str:
    return "Done."


def set_deadlines(factory: Factory, text: str) -> None:
    path = factory.settings.home / "projects" / "shop" / "project.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"[deadlines]\n{text}\n")


async def test_a_review_that_nobody_decides_in_time_ends_as_rejected(open_small: OpenSmall) -> None:
    async with open_small() as factory:
        set_deadlines(factory, "review = 60")
        run_id = await factory.submit("Small pages", project="shop", pipeline="one")
        with clock.use(Later()) as time:
            assert isinstance(time, Later)
            (review,) = (await factory.drive(run_id)).waiting
            assert review.expires_at is not None
            assert timedelta(minutes=59) < review.expires_at - clock.now() <= timedelta(minutes=60)
            time.ahead = timedelta(minutes=59)
            assert (await factory.drive(run_id)).waiting, "in time it is still open"
            time.ahead = timedelta(minutes=61)
            with pytest.raises(AlreadyDecided, match="the clock"):
                await factory.answer(review.id, "approve", None, by="Ada")
            outcome = await factory.drive(run_id)
        assert outcome.status == "rejected"
        assert "expired" in str((await factory.summary(run_id)).failure)
        (told,) = await factory.events.read(run_id, kinds=["approval.decided"])
        assert (told.payload["decision"], told.payload["by"]) == ("expired", "the clock")


async def test_a_question_of_a_team_that_nobody_answers_in_time_goes_back_to_it(
    open_small: OpenSmall,
) -> None:
    async with open_small() as factory:
        set_deadlines(factory, "clarification = 60")
        run_id = await factory.submit("Small pages", project="shop")
        with clock.use(Later()) as time:
            assert isinstance(time, Later)
            before = {each.kind: each.id for each in (await factory.drive(run_id)).waiting}
            assert before.keys() == {"clarification", "escalation"}
            time.ahead = timedelta(minutes=61)
            after = {each.id for each in (await factory.drive(run_id)).waiting}
            assert before["escalation"] in after, "it has no deadline"
            assert before["clarification"] not in after
            assert (await factory.approvals.get(before["clarification"])).decision == "expired"
        answered = await factory.events.read(run_id, kinds=["clarification.answered"])
        assert "expired" in {event.payload.get("decision") for event in answered}


async def test_an_escalation_that_nobody_decides_in_time_fails_its_stage(open_small: OpenSmall) -> None:
    async with open_small({"scout/work": idle}) as factory:
        set_deadlines(factory, "escalation = 1")
        run_id = await factory.submit("Small pages", project="shop", pipeline="one")
        with clock.use(Later()) as time:
            assert isinstance(time, Later)
            assert [each.kind for each in (await factory.drive(run_id)).waiting] == ["escalation"]
            time.ahead = timedelta(minutes=2)
            outcome = await factory.drive(run_id)
        assert outcome.status == "failed"
        assert "nobody answered in time" in str((await factory.summary(run_id)).failure)


async def test_without_a_setting_a_question_waits_for_years(open_small: OpenSmall) -> None:
    async with open_small() as factory:
        run_id = await factory.submit("Small pages", project="shop", pipeline="one")
        with clock.use(Later()) as time:
            assert isinstance(time, Later)
            (review,) = (await factory.drive(run_id)).waiting
            assert review.expires_at is None
            time.ahead = timedelta(days=2000)
            assert [each.id for each in (await factory.drive(run_id)).waiting] == [review.id]


async def test_a_server_notices_a_deadline_by_itself(open_small: OpenSmall) -> None:
    async with open_small() as factory:
        set_deadlines(factory, "review = 60")
        run_id = await factory.submit("Small pages", project="shop", pipeline="one")
        with clock.use(Later()) as time:
            assert isinstance(time, Later)
            async with Dispatch.open(factory) as dispatch:
                await dispatch.go_on(run_id)
                async with dispatch.working(1):
                    async for event in factory.follow(run_id):
                        if event.kind == "approval.requested":
                            time.ahead = timedelta(minutes=61)
                        if event.kind == "run.ended":
                            break
        assert (await factory.summary(run_id)).status == "rejected"


@pytest.mark.parametrize("text", ["review = 0", 'review = "soon"', "tomorrow = 5", "review = 1.5"])
async def test_a_deadline_that_is_none_is_refused_by_name(open_small: OpenSmall, text: str) -> None:
    async with open_small() as factory:
        set_deadlines(factory, text)
        run_id = await factory.submit("Small pages", project="shop", pipeline="one")
        with pytest.raises(ProjectSettingsInvalid, match=r"deadlines\."):
            await factory.drive(run_id)
