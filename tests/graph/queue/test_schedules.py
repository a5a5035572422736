"""Schedules: each time that comes is one run, with any number of workers, and none beside the last one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from core import clock
from core.events import SERVICE
from graph import control
from graph.queue.driving import Dispatch
from graph.runner import Factory
from graph.schedules import Schedule, ScheduleInvalid, Times, Work, interval, next_time
from models.spending import caps
from tests.graph.conftest import OpenSmall
from tests.graph.queue.conftest import until
from tests.graph.test_deadlines import Later

ONE = Work("Look after the pages", pipeline="one")


@asynccontextmanager
async def opened(
    open_small: OpenSmall, *, built: bool = False
) -> AsyncIterator[tuple[Factory, Dispatch, Later]]:
    """A factory with a project, its queue, and a clock that the test sets."""
    async with open_small() as factory:
        run_id = await factory.submit("Small pages", project="shop", pipeline="one", approve_all=True)
        if built:
            await factory.drive(run_id)
        else:
            await control.cancel(factory.services, run_id, by="ada")
        with clock.use(Later()) as time:
            async with Dispatch.open(factory) as dispatch:
                assert isinstance(time, Later)
                yield factory, dispatch, time


async def made(factory: Factory, work: Work = ONE) -> Schedule:
    return await factory.schedules.add("shop", work, Times(seconds=60), by="ada")


async def told(factory: Factory, kind: str) -> list[dict[str, object]]:
    return [dict(event.payload) for event in await factory.events.read(SERVICE, kinds=[f"schedule.{kind}"])]


async def waiting(dispatch: Dispatch) -> int:
    async with dispatch.queue.pool.connection() as conn:
        cursor = await conn.execute(
            "SELECT count(*) AS n FROM procrastinate_jobs WHERE task_name = 'schedule'"
        )
        row = await cursor.fetchone()
    assert row is not None
    return int(row["n"])


async def test_a_time_is_one_run_and_the_next_is_skipped_while_that_waits_for_a_person(
    open_small: OpenSmall,
) -> None:
    async with opened(open_small, built=True) as (factory, dispatch, time):
        schedule = await made(factory)
        await dispatch.recurring.start_due()
        assert await waiting(dispatch) == 0, "nothing is due yet"
        time.ahead = timedelta(seconds=61)
        await asyncio.gather(*(dispatch.recurring.start_due() for _ in range(4)))
        assert await waiting(dispatch) == 1
        async with dispatch.working(2):
            await until(lambda: _waits(factory, schedule.id), 60)
        shown = await factory.schedules.get(schedule.id)
        assert shown.last_said == "started"
        assert shown.last_run is not None
        run = await factory.services.run(shown.last_run)
        assert (run.by, run.requirement, run.change is not None) == ("ada", ONE.requirement, True)

        time.ahead = timedelta(seconds=122)
        await dispatch.recurring.start_due()
        (skipped,) = await told(factory, "skipped")
        assert run.id in str(skipped["why"])
        assert (await factory.schedules.get(schedule.id)).last_run == run.id

        (review,) = await factory.approvals.pending(run.id)
        await factory.answer(review.id, "reject", "no", by="ada")
        await factory.drive(run.id)
        time.ahead = timedelta(seconds=183)
        await dispatch.recurring.start_due()
        assert await waiting(dispatch) == 1
        (started,) = await told(factory, "started")
        assert (started["run"], started["schedule"], started["by"]) == (run.id, schedule.id, "ada")


async def _waits(factory: Factory, schedule_id: str) -> bool:
    run_id = (await factory.schedules.get(schedule_id)).last_run
    if run_id is None or not await factory.services.runs.known(run_id):
        return False
    return (await factory.services.run(run_id)).status == "awaiting_input"


async def test_times_that_nobody_was_there_for_are_made_up_once(open_small: OpenSmall) -> None:
    async with opened(open_small) as (factory, dispatch, time):
        schedule = await made(factory)
        time.ahead = timedelta(minutes=10, seconds=30)
        for _ in range(3):
            await dispatch.recurring.start_due()
        assert await waiting(dispatch) == 1
        shown = await factory.schedules.get(schedule.id)
        assert shown.last_due == schedule.next_at
        # The beat is kept: as if nobody had been away.
        assert shown.next_at == schedule.next_at + timedelta(minutes=10)


async def test_a_job_that_is_done_twice_makes_one_run(open_small: OpenSmall) -> None:
    async with opened(open_small) as (factory, dispatch, time):
        await made(factory)
        time.ahead = timedelta(seconds=61)
        await dispatch.recurring.start_due()
        async with dispatch.queue.pool.connection() as conn:  # as after a SIGKILL before its end was recorded
            await conn.execute(
                """INSERT INTO procrastinate_jobs (queue_name, task_name, priority, lock, args)
                   SELECT queue_name, task_name, priority, lock, args FROM procrastinate_jobs
                   WHERE task_name = 'schedule'"""
            )
        before = len(await factory.services.runs.list())
        factory.services.runs.created = None  # the run itself is not of interest here
        async with dispatch.working(2):
            await until(lambda: _none(dispatch), 60)
        assert len(await factory.services.runs.list()) == before + 1
        assert len(await told(factory, "started")) == 1


async def test_a_loop_looks_into_the_inbox_and_answers_what_came_of_it(open_small: OpenSmall) -> None:
    async with opened(open_small) as (factory, dispatch, time):
        repository = await factory.services.project("shop")
        inbox = repository.path / ".factory" / "mail" / "inbox"
        inbox.mkdir(parents=True, exist_ok=True)
        (inbox / "empty.md").write_text("  ")
        (inbox / "wish.md").write_text("Show which pages are old")
        schedule = await made(factory, Work(inbox=True, pipeline="one", approve_all=True))
        async with dispatch.working(2):
            time.ahead = timedelta(seconds=61)
            await until(lambda: _said(factory, schedule.id, "1 letters taken, 0 answered, 1 unusable"), 60)
            shown = await factory.schedules.get(schedule.id)
            assert shown.last_run is not None
            await control.cancel(factory.services, shown.last_run, by="ada")
            await until(lambda: _over(factory, str(shown.last_run)), 60)
            time.ahead = timedelta(seconds=122)
            await until(lambda: _said(factory, schedule.id, "0 letters taken, 1 answered, 1 unusable"), 60)
        outbox = await repository.texts("refs/heads/main", ".factory/mail/outbox")
        (answer,) = outbox.values()
        assert (f"run: {shown.last_run}" in answer, "status: cancelled" in answer) == (True, True)
        (started,) = await told(factory, "started")
        assert started["run"] == shown.last_run


async def _said(factory: Factory, schedule_id: str, said: str) -> bool:
    return (await factory.schedules.get(schedule_id)).last_said == said


async def _over(factory: Factory, run_id: str) -> bool:
    return (await factory.services.run(run_id)).status == "cancelled"


async def _none(dispatch: Dispatch) -> bool:
    return await waiting(dispatch) == 0


async def test_a_spent_budget_and_a_refusal_are_said_and_a_paused_schedule_rests(
    open_small: OpenSmall,
) -> None:
    async with opened(open_small) as (factory, dispatch, time):
        schedule = await made(factory, Work("Look after the pages", pipeline="none-such"))
        file = factory.settings.home / "projects" / "shop" / "project.toml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("[budget]\nproject = 1.00\n")
        await caps.agree(factory.db, "project", "shop", Decimal(1))
        async with factory.db.pool.connection() as conn:
            await conn.execute("UPDATE factory.budgets SET spent_usd = 0.95 WHERE id = 'project:shop'")
        time.ahead = timedelta(seconds=61)
        await dispatch.recurring.start_due()
        (skipped,) = await told(factory, "skipped")
        assert "of shop are spent" in str(skipped["why"])

        file.write_text("[budget]\nproject = 5.00\n")
        await factory.schedules.pause(schedule.id, by="grace")
        time.ahead = timedelta(seconds=122)
        await dispatch.recurring.start_due()
        assert await waiting(dispatch) == 0
        resumed = await factory.schedules.resume(schedule.id, by="grace")
        assert (resumed.paused_at, resumed.next_at) == (None, schedule.next_at + timedelta(minutes=2))

        time.ahead = timedelta(seconds=183)
        await dispatch.recurring.start_due()
        async with dispatch.working(1):
            await until(lambda: _none(dispatch), 60)
        (refused,) = await told(factory, "refused")
        assert "none-such" in str(refused["why"])
        shown = await factory.schedules.get(schedule.id)
        assert (str(shown.last_said).startswith("refused: "), shown.last_run) == (True, None)

        await factory.schedules.remove(schedule.id, by="grace")
        assert [each["by"] for each in await told(factory, "paused") + await told(factory, "removed")] == [
            "grace",
            "grace",
        ]


@pytest.mark.parametrize(
    ("cron", "zone", "after", "expected"),
    [
        ("0 6 * * 1-5", None, "2026-11-20T06:00", "2026-11-23T06:00"),
        ("0 6 * * *", "Europe/Berlin", "2026-07-01T00:00", "2026-07-01T04:00"),
        ("0 6 * * *", "Europe/Berlin", "2026-12-01T00:00", "2026-12-01T05:00"),
        ("30 6 * * *", "Asia/Kolkata", "2026-12-01T00:59", "2026-12-01T01:00"),
        ("*/15 * * * *", None, "2026-12-01T00:59:59", "2026-12-01T01:00"),
    ],
)
def test_the_next_time_is_read_in_its_zone(cron: str, zone: str | None, after: str, expected: str) -> None:
    moment = datetime.fromisoformat(after).replace(tzinfo=UTC)
    assert next_time(cron, zone, moment) == datetime.fromisoformat(expected).replace(tzinfo=UTC)


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York"])
@pytest.mark.parametrize(
    "around", ["2027-03-14T04:00", "2027-03-28T00:00", "2027-10-30T22:00", "2027-11-07T04:00"]
)
def test_times_go_on_across_the_hour_that_is_missing_or_twice(zone: str, around: str) -> None:
    moment = datetime.fromisoformat(around).replace(tzinfo=UTC)
    end, seen = moment + timedelta(days=2), 0
    while moment < end:
        later = next_time("30 * * * *", zone, moment)
        assert timedelta() < later - moment <= timedelta(hours=2)
        moment, seen = later, seen + 1
    assert 46 <= seen <= 50


@pytest.mark.parametrize("text", ["", "2", "h", "5s", "0m", "400d", "2 hours", "-2h", "1e3s"])
def test_an_interval_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ScheduleInvalid):
        interval(text)


@pytest.mark.parametrize(
    "times",
    [Times(), Times("* * * * *", None, 60), Times(None, "UTC", 60), Times("* * * *"), Times("0 0 30 2 *")],
)
def test_times_that_are_none_or_never_come_are_refused(times: Times) -> None:
    with pytest.raises(ScheduleInvalid):
        times.first(datetime.now(UTC))


def test_an_interval_is_told_as_it_was_given() -> None:
    assert [str(Times(seconds=interval(text))) for text in ("90s", "30m", "2h", "1d")] == [
        "every 90s",
        "every 30m",
        "every 2h",
        "every 1d",
    ]
