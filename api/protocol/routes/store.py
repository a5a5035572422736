"""`/store`: values that outlive threads, by namespace and key."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response, status
from langgraph.store.base import Item, SearchItem

from api.access import Reader, Submitter
from api.protocol import views
from api.protocol.opened import Opened
from api.protocol.routes.json_route import JsonRoute
from api.protocol.wanted import ItemNamed, ItemsMatching, ItemWanted, NamespacesMatching
from core.errors import BadInput

router = APIRouter(prefix="/store", tags=["agent protocol"], route_class=JsonRoute)


class NamespaceInvalid(BadInput):
    """A namespace cannot be used."""


def _namespace(parts: list[str], *, empty: bool = False) -> tuple[str, ...]:
    if not parts and not empty:
        raise NamespaceInvalid("A namespace has at least one part", untouched="Nothing was stored")
    if any(not part or "." in part or "\x00" in part for part in parts):
        raise NamespaceInvalid(
            "The parts of a namespace are texts without dots", untouched="Nothing was stored"
        )
    return tuple(parts)


@router.put("/items", status_code=status.HTTP_204_NO_CONTENT)
async def put(wanted: ItemWanted, protocol: Opened, _: Submitter) -> None:
    """Store a value, over what was there."""
    namespace = _namespace(wanted.namespace)
    if namespace[0] == "langgraph":
        raise NamespaceInvalid("The namespace `langgraph` is LangGraph's own", untouched="Nothing was stored")
    more: dict[str, Any] = {} if wanted.ttl is None else {"ttl": wanted.ttl}
    if "\x00" in wanted.key:
        raise NamespaceInvalid("A key is text without NUL", untouched="Nothing was stored")
    await protocol.store.aput(namespace, wanted.key, wanted.value, wanted.index, **more)


@router.get("/items")
async def get(
    protocol: Opened, _: Reader, key: str, namespace: Annotated[list[str] | None, Query()] = None
) -> Response:
    """A value; null where there is none."""
    parts = [part for given in namespace or () for part in given.split(".")]
    item = await protocol.store.aget(_namespace(parts), key)
    return views.answer(None if item is None else _item(item))


@router.delete("/items", status_code=status.HTTP_204_NO_CONTENT)
async def delete(wanted: ItemNamed, protocol: Opened, _: Submitter) -> None:
    """Forget a value."""
    await protocol.store.adelete(_namespace(wanted.namespace), wanted.key)


@router.post("/items/search")
async def search(wanted: ItemsMatching, protocol: Opened, _: Reader) -> Response:
    """The values under a namespace that match."""
    found = await protocol.store.asearch(
        _namespace(wanted.namespace_prefix or [], empty=True),
        query=wanted.query,
        filter=wanted.filter,
        limit=wanted.limit,
        offset=wanted.offset,
    )
    return views.answer({"items": [_item(item) for item in found]})


@router.post("/namespaces")
async def namespaces(wanted: NamespacesMatching, protocol: Opened, _: Reader) -> Response:
    """The namespaces that have values."""
    found = await protocol.store.alist_namespaces(
        prefix=tuple(wanted.prefix) if wanted.prefix else None,
        suffix=tuple(wanted.suffix) if wanted.suffix else None,
        max_depth=wanted.max_depth,
        limit=wanted.limit,
        offset=wanted.offset,
    )
    return views.answer({"namespaces": [list(one) for one in found]})


def _item(item: Item) -> dict[str, Any]:
    view: dict[str, Any] = {
        "namespace": list(item.namespace),
        "key": item.key,
        "value": item.value,
        "created_at": item.created_at,
        "updated_at": item.updated_at,
    }
    if isinstance(item, SearchItem):
        view["score"] = item.score
    return view
