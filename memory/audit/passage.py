"""A chain that passes by, event for event and text for text, and is held against itself on the way."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from core.audit import Broken, check_record
from core.events import GENESIS
from core.json import is_object
from core.texts import Expectations, Place, held_against


class Row(NamedTuple):
    """An event as the table `events` holds it, in the order of its columns."""

    run_id: str
    seq: int
    at: datetime
    kind: str
    team: str | None
    key: str | None
    record: str
    prev_hash: str
    hash: str


class Passage:
    """One run's chain: feed it `event`s in order, then `text`s, then `end`. All of them raise Broken."""

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        self.seq = 0
        """The position of the last event."""
        self.hash = GENESIS
        """The hash of the last event."""
        self._expected = Expectations()
        self._seen: set[Place] = set()

    def event(self, record: str, its_hash: str) -> Row:
        """The next event, by its text and its hash."""
        row = self._row(record, its_hash)
        payload = check_record(row, self.seq + 1, self.hash)
        self.seq, self.hash = row.seq, row.hash
        self._expected.take(row.seq, row.kind, payload)
        return row

    def text(self, row: Mapping[str, Any]) -> None:
        """A text beside the events: seq, name, salt, body, forgotten_by."""
        seq, name = row["seq"], row["name"]
        expected = self._expected.texts.get((seq, name))
        if expected is None or (seq, name) in self._seen:
            raise Broken(self.run_id, seq, "no event of the chain names this text", name)
        if held_against(name, expected, row).state in {"missing", "altered"}:
            raise Broken(self.run_id, seq, "it is not the text that was kept", name)
        self._seen.add((seq, name))

    def end(self, seq: int, its_hash: str) -> None:
        """The end of the run, where its head stands at `seq`."""
        if (seq, its_hash) != (self.seq, self.hash):
            why = f"the chain ends at event {self.seq}, and its head says {seq}"
            raise Broken(self.run_id, min(seq, self.seq) + 1, why)
        for (of, name), expected in self._expected.texts.items():
            if expected.digest is not None and (of, name) not in self._seen:
                raise Broken(self.run_id, of, "this text is missing", name)

    def _row(self, record: str, its_hash: str) -> Row:
        seq = self.seq + 1
        try:
            told: Any = json.loads(record)
            if not is_object(told):
                raise TypeError("no object")
            at = datetime.fromisoformat(told["at"])
            if at.tzinfo is None:
                raise ValueError("its time has no zone")
            kind, team, key = told["kind"], told["team"], told["key"]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise Broken(self.run_id, seq, f"its text is no event: {error}") from error
        fits = isinstance(kind, str) and all(one is None or isinstance(one, str) for one in (team, key))
        if not fits or "\0" in f"{kind}{team}{key}":
            raise Broken(self.run_id, seq, "its text is no event: kind, team or key is no text")
        return Row(self.run_id, seq, at, kind, team, key, record, self.hash, its_hash)
