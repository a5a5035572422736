"""The witness of the tests with workers sees what it is there for."""

from __future__ import annotations

import psycopg
import pytest

from core import fencing
from tests.faults import witness
from tests.faults.playing import Place

ADD = "INSERT INTO factory.checkpoints (thread_id, checkpoint_id, checkpoint) VALUES ('run-1', %s, '{}')"


def test_what_the_overtaken_would_write_is_refused_by_the_fence_and_seen_without_it(place: Place) -> None:
    with psycopg.connect(place.admin, autocommit=True) as conn:
        conn.execute("INSERT INTO factory.holds (subject, attempt) VALUES ('run-1', 2)")
        conn.execute("SELECT set_config('factory.fence', '2 run-1', false)")
        conn.execute(ADD, ("a",))
        conn.execute("SELECT set_config('factory.fence', '1 run-1', false)")
        with pytest.raises(psycopg.DatabaseError) as refused:
            conn.execute(ADD, ("b",))
        assert refused.value.sqlstate == fencing.SQLSTATE
        assert witness.seen(place.admin, "run-1") == witness.Seen(2, 1, (), ())

        conn.execute("ALTER TABLE factory.checkpoints DISABLE TRIGGER fenced")
        conn.execute(ADD, ("c",))
        conn.execute("SELECT set_config('factory.fence', '', false)")
        conn.execute(ADD, ("d",))
    seen = witness.seen(place.admin, "run-1")
    assert seen.by_the_overtaken == ("checkpoints under 1 run-1, when 2 was the newest",)
    assert seen.unfenced == ("checkpoints",)
