"""What one execution has written on a thread that had no checkpoint before: it need not be read again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from langgraph.checkpoint.base import CheckpointTuple

MOST_BYTES: Final = 100_000
"""Of values; where there are more, they are read again."""

Loads = Callable[[list[tuple[bytes, bytes, bytes]]], dict[str, Any]]
"""Values from (channel, type, bytes), as LangGraph's saver has it."""


@dataclass
class Written:
    """All checkpoints of a thread. Nobody else writes any: who takes it up fences this execution first."""

    whole: bool = True
    """Whether this has all that was written."""
    _newest: dict[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])
    """By graph (`checkpoint_ns`): the checkpoint of the highest id."""
    _blobs: dict[tuple[str, str], tuple[str, str, bytes | None]] = field(
        default_factory=dict[tuple[str, str], tuple[str, str, bytes | None]]
    )
    """By graph and channel: version, type and bytes."""
    _pending: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])
    """Graphs and checkpoints with writes of tasks."""

    def note(self, values: Mapping[str, Any], size: int) -> None:
        """What was written just now, as graph/checkpoints.py has it, with so many bytes of values."""
        ns = values["ns"]
        if size > MOST_BYTES:
            self.whole = False
        if "written" in values:
            self._pending.add((ns, values["written"]))
        if "id" in values and (ns not in self._newest or self._newest[ns]["id"] < values["id"]):
            self._newest[ns] = values
            rows = zip(values["channels"], values["versions"], values["types"], values["blobs"], strict=True)
            for channel, version, kind, blob in rows:
                self._blobs[ns, channel] = (version, kind, blob)

    def knows(self, ns: str) -> bool:
        """Whether `newest` can tell; else the database is to be asked."""
        newest = self._newest.get(ns)
        return self.whole and (newest is None or (ns, newest["id"]) not in self._pending)

    def newest(self, ns: str, loads: Loads) -> CheckpointTuple | None:
        """What the database would give for the thread's newest checkpoint of a graph."""
        newest = self._newest.get(ns)
        if newest is None:
            return None
        place = {"thread_id": newest["thread"], "checkpoint_ns": ns}
        checkpoint: dict[str, Any] = newest["checkpoint"].obj
        versions: Mapping[str, str] = checkpoint["channel_versions"]
        blobs = [
            (channel.encode(), kind.encode(), blob or b"")
            for (of, channel), (version, kind, blob) in self._blobs.items()
            if of == ns and versions.get(channel) == version
        ]
        values: Any = {**checkpoint, "channel_values": {**checkpoint["channel_values"], **loads(blobs)}}
        parent = newest["parent"]
        return CheckpointTuple(
            {"configurable": {**place, "checkpoint_id": newest["id"]}},
            values,
            newest["metadata"].obj,
            {"configurable": {**place, "checkpoint_id": parent}} if parent else None,
            [],
        )
