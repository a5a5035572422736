"""Rows of the database as records."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from memory.records import BankInfo, Kind, Memory, Source, SpaceInfo, identity


def memory(row: Mapping[str, Any]) -> Memory:
    """A row of `memories`; its source may be the text that it is stored as."""
    bank, by, source = row["bank"], row["superseded_by"], row["source"]
    return Memory(
        id=identity(bank, row["number"]),
        bank=bank,
        text=row["text"],
        kind=Kind(row["kind"]),
        speaker=row["speaker"],
        session=row["session"],
        position=row["position"],
        at=row["at"],
        valid_from=row["valid_from"],
        valid_to=row["valid_to"],
        subject=row["subject"],
        superseded_by=None if by is None else identity(bank, by),
        source=Source(**(json.loads(source) if isinstance(source, str) else source)),
        derived_from=tuple(row["derived_from"]),
        forgotten_at=row["forgotten_at"],
    )


def bank(row: Mapping[str, Any]) -> BankInfo:
    """A row of `banks` with its spaces."""
    spaces = tuple(SpaceInfo(**space) for space in row["spaces"])
    return BankInfo(row["id"], row["project"], row["name"], row["live"], spaces)
