"""What a client wants to be told of a thread: which channels, and from where on."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from api.protocol.opened import AgentProtocol
from api.protocol.queries import events
from core.errors import BadInput
from core.json import is_array

CHANNELS: Final = (
    "values",
    "updates",
    "messages",
    "tools",
    "lifecycle",
    "input",
    "checkpoints",
    "tasks",
    "custom",
)


class FilterInvalid(BadInput):
    """The subscription cannot be read."""

    http_status = 400


def filters(given: dict[str, Any]) -> dict[str, Any]:
    """Which channels and namespaces a client asks for; raises FilterInvalid."""
    channels = given.get("channels")
    if not is_array(channels) or not channels:
        raise FilterInvalid("A subscription names channels", todo=f"Some of: {', '.join(CHANNELS)}")
    for channel in channels:
        if not (isinstance(channel, str) and (channel in CHANNELS or channel.startswith("custom:"))):
            raise FilterInvalid(
                f"There is no channel {channel!r}", todo=f"There are: {', '.join(CHANNELS)}, custom:NAME"
            )
    namespaces, depth = given.get("namespaces"), given.get("depth")
    if namespaces is not None and not (is_array(namespaces) and all(is_array(one) for one in namespaces)):
        raise FilterInvalid("`namespaces` is a list of lists of texts")
    if depth is not None and (not isinstance(depth, int) or depth < 0):
        raise FilterInvalid("`depth` is a number, at least 0")
    found = {"channels": channels, "namespaces": namespaces, "depth": depth}
    return {name: value for name, value in found.items() if value is not None}


async def since(protocol: AgentProtocol, thread_id: UUID, given: object) -> int:
    """The position after which a client wants to be told; the beginning, where no run is there yet."""
    if given is None:
        async with protocol.db.pool.connection() as conn:
            return await events.before_last_run(conn, thread_id)
    if not isinstance(given, int) or given < 0:
        raise BadInput("`since` is the number of an event")
    return given
