"""`/assistants`."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, cast
from uuid import UUID

from fastapi import APIRouter, Body, Query, Response
from pydantic import create_model

from api.access import Reader, Submitter
from api.protocol import assistants, views
from api.protocol.graphs import Compiled
from api.protocol.opened import Opened
from api.protocol.queries import assistants as queries
from api.protocol.routes.json_route import JsonRoute
from api.protocol.wanted import (
    AssistantPatch,
    AssistantsMatching,
    AssistantWanted,
    VersionChosen,
    VersionsMatching,
)

router = APIRouter(prefix="/assistants", tags=["agent protocol"], route_class=JsonRoute)


@router.post("")
async def create(wanted: AssistantWanted, protocol: Opened, caller: Submitter) -> Response:
    """A new assistant: a graph with a configuration."""
    row = await assistants.create(protocol.db, protocol.graphs, wanted, caller.name)
    return views.answer(views.assistant(row))


@router.post("/search")
async def search(wanted: AssistantsMatching, protocol: Opened, _: Reader) -> Response:
    """The assistants that match."""
    order = f"{wanted.sort_by or 'created_at'} {wanted.sort_order or 'desc'}, assistant_id"
    async with protocol.db.pool.connection() as conn:
        rows = await queries.search(
            conn,
            metadata=wanted.metadata or {},
            graph_id=wanted.graph_id,
            name=wanted.name,
            order=order,
            limit=wanted.limit + 1,
            offset=wanted.offset,
        )
    found = [views.chosen(views.assistant(row), wanted.select) for row in rows[: wanted.limit]]
    return views.page(found, limit=wanted.limit, offset=wanted.offset, more=len(rows) > wanted.limit)


@router.post("/count")
async def count(wanted: AssistantsMatching, protocol: Opened, _: Reader) -> int:
    """How many match."""
    async with protocol.db.pool.connection() as conn:
        return await queries.count(
            conn, metadata=wanted.metadata or {}, graph_id=wanted.graph_id, name=wanted.name
        )


@router.get("/{assistant_id}")
async def show(assistant_id: str, protocol: Opened, _: Reader) -> Response:
    """One assistant."""
    async with protocol.db.pool.connection() as conn:
        return views.answer(views.assistant(await assistants.find(conn, assistant_id)))


@router.patch("/{assistant_id}")
async def change(assistant_id: UUID, wanted: AssistantPatch, protocol: Opened, _: Submitter) -> Response:
    """A new version of an assistant, which is in force from now on."""
    row = await assistants.change(protocol.db, protocol.graphs, assistant_id, wanted)
    return views.answer(views.assistant(row))


@router.delete("/{assistant_id}")
async def delete(assistant_id: UUID, protocol: Opened, _: Submitter) -> dict[str, Any]:
    """Forget an assistant; one that stands for a graph stays."""
    await assistants.delete(protocol.db, protocol.graphs, assistant_id)
    return {}


@router.post("/{assistant_id}/versions")
async def versions(
    assistant_id: UUID, protocol: Opened, _: Reader, wanted: Annotated[VersionsMatching | None, Body()] = None
) -> Response:
    """The versions of an assistant, the newest first."""
    wanted = wanted or VersionsMatching()
    async with protocol.db.pool.connection() as conn:
        rows = await queries.versions(
            conn, assistant_id, metadata=wanted.metadata or {}, limit=wanted.limit, offset=wanted.offset
        )
    return views.answer([views.assistant(row) for row in rows])


@router.post("/{assistant_id}/latest")
async def set_latest(assistant_id: UUID, wanted: VersionChosen, protocol: Opened, _: Submitter) -> Response:
    """Put a version in force."""
    return views.answer(
        views.assistant(await assistants.set_version(protocol.db, assistant_id, wanted.version))
    )


@router.get("/{assistant_id}/graph")
async def graph(
    assistant_id: str, protocol: Opened, _: Reader, xray: Annotated[str, Query()] = "false"
) -> Response:
    """The graph as nodes and edges; with `xray`, subgraphs too, to a depth where it is a number."""
    depth: int | bool = int(xray) if xray.isdigit() else xray.lower() == "true"
    async with protocol.db.pool.connection() as conn:
        row = await assistants.find(conn, assistant_id)
    source = protocol.graphs.get(row["graph_id"])
    async with source.opened("assistants.read", _config(row)) as compiled:
        drawn = await compiled.aget_graph(xray=depth)
        return views.answer(drawn.to_json())


@router.get("/{assistant_id}/subgraphs")
@router.get("/{assistant_id}/subgraphs/{namespace:path}")
async def subgraphs(
    assistant_id: str, protocol: Opened, _: Reader, namespace: str | None = None, recurse: bool = False
) -> Response:
    """The schemas of the subgraphs, by namespace."""
    async with protocol.db.pool.connection() as conn:
        row = await assistants.find(conn, assistant_id)
    source = protocol.graphs.get(row["graph_id"])
    found: dict[str, Any] = {}
    async with source.opened("assistants.read", _config(row)) as compiled:
        async for name, nested in cast(Any, compiled).aget_subgraphs(namespace=namespace, recurse=recurse):
            found[name] = await asyncio.to_thread(_schemas, name, cast(Compiled, nested))
    return views.answer(found)


@router.get("/{assistant_id}/schemas")
async def schemas(assistant_id: str, protocol: Opened, _: Reader) -> Response:
    """The JSON schemas of what the graph takes, gives and keeps."""
    async with protocol.db.pool.connection() as conn:
        row = await assistants.find(conn, assistant_id)
    source = protocol.graphs.get(row["graph_id"])
    async with source.opened("assistants.read", _config(row)) as compiled:
        return views.answer(await asyncio.to_thread(_schemas, row["graph_id"], compiled))


def _config(row: Any) -> dict[str, Any]:
    return {
        **row["config"],
        "configurable": {**row["config"].get("configurable", {}), "assistant_id": str(row["assistant_id"])},
    }


def _schemas(graph_id: str, graph: Compiled) -> dict[str, Any]:
    any_graph = cast(Any, graph)
    return {
        "graph_id": graph_id,
        "input_schema": _schema(any_graph.get_input_jsonschema),
        "output_schema": _schema(any_graph.get_output_jsonschema),
        "state_schema": _schema(lambda: _state_schema(any_graph)),
        "config_schema": _schema(
            lambda: any_graph.get_config_jsonschema().get("$defs", {}).get("Configurable", {})
        ),
        "context_schema": _schema(any_graph.get_context_jsonschema),
    }


def _state_schema(graph: Any) -> Any:
    names: list[str] = list(graph.stream_channels_list)
    fields = {name: (graph.channels[name].UpdateType, None) for name in names}
    model = create_model(f"{graph.get_name()}_state", **cast(dict[str, Any], fields))
    return model.model_json_schema()


def _schema(of: Any) -> Any:
    """None for what has no JSON schema: a graph may keep any Python object."""
    try:
        return of()
    except Exception:  # noqa: BLE001  (whatever its types do while pydantic looks at them)
        return None
