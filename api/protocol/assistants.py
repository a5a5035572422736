"""Assistants: the graphs as clients find them, and configurations of them."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID, uuid4

from psycopg.rows import DictRow

from api.protocol.errors import AssistantNotFound, Conflict
from api.protocol.graphs import Graphs, assistant_of
from api.protocol.queries import Connection
from api.protocol.queries import assistants as queries
from api.protocol.wanted import AssistantPatch, AssistantWanted
from core import clock
from core.database import Database

BY_SERVER: Final = {"created_by": "system"}


async def make(db: Database, served: Graphs) -> None:
    """The assistants that stand for the graphs."""
    async with db.pool.connection() as conn:
        for source in served.by_id.values():
            await queries.insert(
                conn,
                now=clock.now(),
                assistant_id=assistant_of(source.id),
                graph_id=source.id,
                name=source.id,
                description=source.description or None,
                config={},
                context={},
                metadata=BY_SERVER,
            )


async def find(conn: Connection, name: str) -> DictRow:
    """The assistant of an id, or the one that stands for a graph; raises AssistantNotFound."""
    try:
        assistant_id = UUID(name)
    except ValueError:
        assistant_id = assistant_of(name)
    row = await queries.get(conn, assistant_id)
    if row is None:
        raise AssistantNotFound(
            f"There is no assistant {name[:80]!r}",
            todo="Name the id of one, or a graph: POST /assistants/search lists them",
        )
    return row


async def create(db: Database, served: Graphs, wanted: AssistantWanted, by: str) -> DictRow:
    """A new assistant; raises GraphNotFound, Conflict."""
    served.get(wanted.graph_id)
    assistant_id = wanted.assistant_id or uuid4()
    async with db.pool.connection() as conn:
        row = await queries.insert(
            conn,
            now=clock.now(),
            assistant_id=assistant_id,
            graph_id=wanted.graph_id,
            name=wanted.name or "Untitled",
            description=wanted.description,
            config=wanted.config or {},
            context=wanted.context or {},
            metadata={"created_by": by, **(wanted.metadata or {})},
        )
        if row is None and wanted.if_exists == "do_nothing":
            row = await queries.get(conn, assistant_id)
    if row is None:
        raise Conflict(f"There is an assistant {assistant_id} already", untouched="It is as it was")
    return row


async def change(db: Database, served: Graphs, assistant_id: UUID, wanted: AssistantPatch) -> DictRow:
    """A new version of an assistant; raises AssistantNotFound, GraphNotFound."""
    if wanted.graph_id is not None:
        served.get(wanted.graph_id)
    async with db.pool.connection() as conn, conn.transaction():
        before = await queries.get(conn, assistant_id, lock=True)
        if before is None:
            raise _unknown(assistant_id)
        given: dict[str, Any] = wanted.model_dump(exclude_none=True)
        fields = ("graph_id", "name", "description", "config", "context")
        after = {name: given.get(name, before[name]) for name in fields}
        after["metadata"] = {**before["metadata"], **given.get("metadata", {})}
        row = await queries.change(conn, now=clock.now(), assistant_id=assistant_id, **after)
    assert row is not None
    return row


async def set_version(db: Database, assistant_id: UUID, version: int) -> DictRow:
    """Put a version in force; raises AssistantNotFound."""
    async with db.pool.connection() as conn:
        row = await queries.set_version(conn, assistant_id, version, clock.now())
    if row is None:
        raise AssistantNotFound(f"There is no version {version} of an assistant {assistant_id}")
    return row


async def delete(db: Database, served: Graphs, assistant_id: UUID) -> None:
    """Forget an assistant; raises AssistantNotFound, Conflict."""
    if any(assistant_id == assistant_of(graph_id) for graph_id in served.by_id):
        raise Conflict("That assistant stands for a graph that is served", untouched="It is as it was")
    async with db.pool.connection() as conn:
        if not await queries.delete(conn, assistant_id):
            raise _unknown(assistant_id)


def _unknown(assistant_id: UUID) -> AssistantNotFound:
    return AssistantNotFound(
        f"There is no assistant {assistant_id}", todo="POST /assistants/search lists them"
    )
