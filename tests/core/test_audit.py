"""Whatever is changed in the log behind the factory's back is found, and the first broken link is named."""

import psycopg
import pytest

from core.audit import verify
from core.database import Database
from core.events import EventLog
from core.postgres import EmbeddedPostgres
from core.settings import Settings
from tests.intruder import Admin


@pytest.fixture
async def log(database: Database) -> EventLog:
    log = EventLog(database)
    for run in ("run-a", "run-b", "run-c"):
        for n in range(1, 6):
            await log.append(run, "step.done", {"n": n}, team="qa", key=f"{run}/{n}")
    return log


async def test_an_untouched_log_is_whole(log: EventLog, database: Database) -> None:
    report = await verify(database)
    assert (report.ok, report.runs, report.events, report.broken) == (True, 3, 15, None)


RUN = "run_id = 'run-b'"
FORGED = "replace(record, 'run-b/5', 'new')"  # the text of a sixth event, well made in itself
LATER = "at + interval '1 microsecond'"

TAMPERINGS = [
    (f"UPDATE events SET record = replace(record, ':3}}', ':4}}') WHERE {RUN} AND seq = 3", 3, "hashed"),
    (f"UPDATE events SET kind = 'step.failed' WHERE {RUN} AND seq = 3", 3, "column kind"),
    (f"UPDATE events SET team = NULL WHERE {RUN} AND seq = 2", 2, "column team"),
    (f"UPDATE events SET key = 'other' WHERE {RUN} AND seq = 2", 2, "column key"),
    (f"UPDATE events SET at = {LATER} WHERE {RUN} AND seq = 4", 4, "column at"),
    (f"UPDATE events SET hash = repeat('f', 64) WHERE {RUN} AND seq = 4", 4, "hashed"),
    (f"UPDATE events SET prev_hash = repeat('f', 64) WHERE {RUN} AND seq = 4", 4, "follow"),
    (f"UPDATE events SET seq = 7 WHERE {RUN} AND seq = 5", 5, "event 5 is missing"),
    (f"DELETE FROM events WHERE {RUN} AND seq = 3", 3, "event 3 is missing"),
    (f"DELETE FROM events WHERE {RUN} AND seq = 1", 1, "event 1 is missing"),
    (f"DELETE FROM events WHERE {RUN} AND seq > 3", 4, "4 to 5 are missing"),
    (f"DELETE FROM events WHERE {RUN}", 1, "all its 5 events"),
    (f"DELETE FROM run_heads WHERE {RUN}", 5, "no head"),
    (f"UPDATE run_heads SET hash = repeat('f', 64) WHERE {RUN}", 5, "head has another hash"),
    (
        f"INSERT INTO events SELECT run_id, 6, at, kind, team, 'new', {FORGED}, hash, encode(sha256("
        f"convert_to(concat(hash, E'\\n6\\n', {FORGED}), 'UTF8')), 'hex')"
        f" FROM events WHERE {RUN} AND seq = 5",
        6,
        "inserted",
    ),
    (
        # The event of another run is pushed in, the rest moves up.
        f"UPDATE events SET seq = seq + 10 WHERE {RUN} AND seq > 2; INSERT INTO events"
        " SELECT 'run-b', 3, at, kind, team, NULL, record, prev_hash, hash FROM events"
        " WHERE run_id = 'run-a' AND seq = 3;"
        f"UPDATE events SET seq = seq - 9 WHERE {RUN} AND seq > 10",
        3,
        "inserted",
    ),
]


@pytest.mark.parametrize(("tampering", "seq", "why"), TAMPERINGS)
async def test_tampering_is_found_and_named(
    log: EventLog, database: Database, intruder: Admin, tampering: str, seq: int, why: str
) -> None:
    intruder.execute(tampering)  # type: ignore[arg-type]
    report = await verify(database)
    assert not report.ok
    assert report.broken is not None
    assert (report.broken.run_id, report.broken.seq) == ("run-b", seq)
    assert why in report.broken.why
    assert (await verify(database, "run-a")).ok
    assert not (await verify(database, "run-b")).ok


async def test_a_superuser_is_refused_too_as_long_as_the_triggers_are_on(
    log: EventLog, postgres: EmbeddedPostgres, database_name: str
) -> None:
    with psycopg.connect(postgres.conninfo("admin", dbname=database_name), autocommit=True) as admin:
        admin.execute("SET session_replication_role = replica")
        for statement in (
            "UPDATE factory.events SET kind = 'x'",
            "DELETE FROM factory.events",
            "TRUNCATE factory.events",
            "DELETE FROM factory.run_heads",
            "UPDATE factory.run_heads SET seq = 1",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                admin.execute(statement)  # type: ignore[arg-type]


async def test_the_report_says_whether_this_login_could_change_the_log(
    log: EventLog, database: Database, settings: Settings, service_url: str
) -> None:
    report = await verify(database)
    assert not report.protected
    assert "factory_owner" in report.unprotected_because
    async with Database.open(Settings(home=settings.home, database_url=service_url)) as restricted:  # type: ignore[arg-type]
        report = await verify(restricted)
    assert report.ok
    assert (report.protected, report.unprotected_because) == (True, "")


async def test_a_trigger_that_is_off_is_reported(
    log: EventLog, settings: Settings, service_url: str, intruder: Admin
) -> None:
    async with Database.open(Settings(home=settings.home, database_url=service_url)) as restricted:  # type: ignore[arg-type]
        assert "trigger" in (await verify(restricted)).unprotected_because
