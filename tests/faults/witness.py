"""What the database itself saw of who wrote what: no part of the factory, and none of its fences.

At the end of each transaction that wrote something of a run, the database notes under which attempt it was
written, and which attempt was the newest then. The note is part of the transaction: what was refused leaves
none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import psycopg

_SUBJECTS: Final = {
    "checkpoints": "thread_id",
    "checkpoint_blobs": "thread_id",
    "checkpoint_writes": "thread_id",
    "events": "run_id",
    "model_calls": "run_id",
    "clarifications": "run_id",
}
"""The tables that are watched, and where each has the run."""

_MAKE: Final = """
CREATE TABLE public.witness (what text, subject text, fence text, newest int);
CREATE FUNCTION public.witness() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    the_subject text := to_jsonb(NEW) ->> TG_ARGV[0];
BEGIN
    INSERT INTO public.witness SELECT TG_TABLE_NAME, the_subject,
        coalesce(current_setting('factory.fence', true), ''),
        (SELECT h.attempt FROM factory.holds h WHERE h.subject = the_subject);
    RETURN NULL;
END $$
"""
_WATCH: Final = """
CREATE CONSTRAINT TRIGGER witness AFTER INSERT OR UPDATE ON factory.{table} DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW EXECUTE FUNCTION public.witness('{column}')
"""


@dataclass(frozen=True)
class Seen:
    """What was written of one run."""

    attempts: int
    """How often it was taken up."""
    checkpoints: int
    """Rows of checkpoints and of what belongs to them."""
    unfenced: tuple[str, ...]
    """Checkpoints that nobody's attempt stood over."""
    by_the_overtaken: tuple[str, ...]
    """What was written under an attempt that was not the newest any more."""


def install(admin: str) -> None:
    """Watch a database, as its superuser; what was committed in it stays when its server is killed."""
    with psycopg.connect(admin, autocommit=True) as conn:
        conn.execute(_MAKE)
        for table, column in _SUBJECTS.items():
            conn.execute(_WATCH.format(table=table, column=column).encode())
        name = conn.info.dbname
        conn.execute(f"ALTER DATABASE {name} SET synchronous_commit = on".encode())


def seen(admin: str, run_id: str) -> Seen:
    """What was written of a run so far."""
    with psycopg.connect(admin, autocommit=True) as conn:
        newest = conn.execute("SELECT attempt FROM factory.holds WHERE subject = %s", (run_id,)).fetchone()
        rows = conn.execute(
            "SELECT what, fence, newest FROM public.witness WHERE subject = %s", (run_id,)
        ).fetchall()
    saved = [row for row in rows if row[0].startswith("checkpoint")]
    return Seen(
        attempts=newest[0] if newest else 0,
        checkpoints=len(saved),
        unfenced=tuple(what for what, fence, _ in saved if not fence),
        by_the_overtaken=tuple(
            f"{what} under {fence}, when {attempt} was the newest"
            for what, fence, attempt in rows
            if fence and fence != f"{attempt} {run_id}"
        ),
    )
