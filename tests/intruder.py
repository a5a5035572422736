"""Somebody with the rights of a superuser, who changes the audit behind the factory's back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

Admin = psycopg.Connection[tuple[object, ...]]


@contextmanager
def unrestrained(conninfo: str) -> Iterator[Admin]:
    """A connection for which the triggers of the log are switched off."""
    with psycopg.connect(conninfo, autocommit=True) as admin:
        admin.execute("SET search_path = factory")
        for table in ("events", "run_heads", "event_texts"):
            admin.execute(f"ALTER TABLE {table} DISABLE TRIGGER ALL")  # type: ignore[arg-type]
        yield admin


def restrain(admin: Admin) -> None:
    """Switch the triggers on again."""
    for table, trigger in (
        ("events", "only_grows"),
        ("run_heads", "only_grows"),
        ("run_heads", "one_step"),
        ("event_texts", "only_grows"),
        ("event_texts", "only_forgets"),
    ):
        admin.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {trigger}")  # type: ignore[arg-type]
