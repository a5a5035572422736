"""`/api/v1/audit`: the proof of what happened."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import IO, Annotated, Any, cast

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict
from starlette.concurrency import run_in_threadpool

from api.access import Auditor
from api.once import Once, OnceRoute
from api.service import Serving
from api.v1.wanted import Name
from core import audit
from core.audit import Anchor, AuditReport
from core.errors import BadInput
from memory.audit import chains, checkpoints, keys
from memory.audit.exporting import export as exported
from memory.audit.phrases import Phrase
from memory.audit.search import MOST, search

router = APIRouter(prefix="/audit", tags=["audit"], route_class=OnceRoute)

_MOST_CHECKPOINT = 50_000_000
"""Bytes of a checkpoint that is held against the chains."""


class CheckpointTooLarge(BadInput):
    """The checkpoint is larger than may be uploaded."""

    http_status = 413


class HitShown(BaseModel):
    """A place where a phrase stands."""

    model_config = ConfigDict(frozen=True, from_attributes=True)

    run_id: str
    seq: int
    at: datetime
    kind: str
    team: str | None
    stage: str | None
    place: str
    """Where in the event: `brief`, `file:src/app.py`, `question`."""
    line: int
    excerpt: str
    again: list[str]
    """Stages of the run whose brief repeats this line."""


class Found(BaseModel):
    """Where a phrase stands."""

    model_config = ConfigDict(frozen=True)

    phrase: str
    runs: int
    """Runs that were looked through."""
    more: bool
    """There are more places than were asked for."""
    hits: list[HitShown]


class BrokenShown(BaseModel):
    """The first place where a chain is not what was written."""

    model_config = ConfigDict(frozen=True)

    run_id: str
    seq: int
    why: str
    text: str
    """The name of the text that is not what was kept; empty where it is the chain itself."""


class Verified(BaseModel):
    """What a walk along the chains found."""

    model_config = ConfigDict(frozen=True)

    ok: bool
    runs: int
    events: int
    texts: int
    protected: bool
    """The service's login could not change the log even if it tried."""
    unprotected_because: str
    broken: BrokenShown | None
    against: int | None
    """Runs of the checkpoint that the chains were held against; null without one."""


@router.get("/search")
async def find(
    service: Serving,
    _: Auditor,
    phrase: Annotated[str, Query(min_length=1, max_length=1_000, description="Words in their order.")],
    run: Annotated[Name | None, Query(description="In this run only.")] = None,
    limit: Annotated[int, Query(ge=1, le=MOST, description="Places at most.")] = 20,
) -> Found:
    """Find a phrase in all that any run was given, said, asked, answered and wrote."""
    db, wanted = service.factory.db, Phrase(phrase)
    run_id = await chains.find(db, run) if run else None
    hits = await search(db, wanted, run_id=run_id, limit=limit)
    return Found(
        phrase=phrase,
        runs=hits.runs,
        more=hits.more,
        hits=[HitShown.model_validate(hit) for hit in hits.found],
    )


@router.get("/verification")
async def verify(
    service: Serving, _: Auditor, run: Annotated[Name | None, Query(description="This run only.")] = None
) -> Verified:
    """Prove that no event and no text was changed, removed or put in."""
    db = service.factory.db
    run_id = await chains.find(db, run) if run else None
    return _verified(await audit.verify(db, run_id), None)


@router.post("/verification", openapi_extra={
    "requestBody": {
        "required": True,
        "description": "A checkpoint of this factory, as it was downloaded.",
        "content": {"application/json": {"schema": {"type": "object"}}},
    }
})  # fmt: skip
async def verify_against(service: Serving, _: Auditor, request: Request, once: Once) -> Verified:
    """Prove also that the chains lead through where they stood at a checkpoint."""
    db, settings = service.factory.db, service.factory.settings
    with tempfile.TemporaryDirectory(prefix="factory-audit-") as folder:
        file = Path(folder) / "checkpoint.json"
        await _received(request.stream(), file)
        checkpoint = await run_in_threadpool(checkpoints.read, file, keys.trusted_key(settings, None))
    heads: dict[str, Anchor] = dict(checkpoint.heads)
    return _verified(await audit.verify(db, None, heads), len(heads))


@router.post("/checkpoint", response_class=Response, responses={
    200: {"content": {"application/json": {"schema": {"type": "object"}}}, "description": "The checkpoint."}
})  # fmt: skip
async def checkpoint(service: Serving, _: Auditor, once: Once) -> Response:
    """Sign where all chains stand now. Keep it where neither the server nor its database can write."""
    made, _report = await checkpoints.make(service.factory.db, keys.signing_key(service.factory.settings))
    headers = {"Content-Disposition": 'attachment; filename="checkpoint.json"'}
    return Response(made.text(), media_type="application/json", headers=headers)


@router.get("/export", response_class=Response, responses={
    200: {"content": {"application/jsonl": {"schema": {"type": "string"}}}, "description": "The export."}
})  # fmt: skip
async def export(
    service: Serving, _: Auditor, run: Annotated[Name | None, Query(description="This run only.")] = None
) -> Response:
    """Chains and their texts as JSONL that proves itself; nothing is sent where one is not whole."""
    db = service.factory.db
    run_id = await chains.find(db, run) if run else None
    # Written whole before it is sent: half of an export would not prove itself.
    file = cast("IO[str]", await asyncio.to_thread(tempfile.TemporaryFile, "w+", encoding="utf-8"))
    try:
        await exported(db, run_id, file.write)
        await asyncio.to_thread(file.seek, 0)
    except BaseException:
        file.close()
        raise
    headers = {"Content-Disposition": f'attachment; filename="{run_id or "audit"}.jsonl"'}
    return StreamingResponse(_sent(file), media_type="application/jsonl", headers=headers)


async def _sent(file: IO[str]) -> AsyncIterator[str]:
    with file:
        while part := await asyncio.to_thread(file.read, 1 << 18):
            yield part


async def _received(stream: AsyncIterator[bytes], file: Path) -> None:
    size = 0
    with await asyncio.to_thread(file.open, "wb") as opened:
        async for chunk in stream:
            size += len(chunk)
            if size > _MOST_CHECKPOINT:
                raise CheckpointTooLarge(untouched="Nothing was compared")
            opened.write(chunk)


def _verified(report: AuditReport, against: int | None) -> Verified:
    broken: Any = report.broken
    return Verified(
        ok=report.ok,
        runs=report.runs,
        events=report.events,
        texts=report.texts,
        protected=report.protected,
        unprotected_because=report.unprotected_because,
        broken=None
        if broken is None
        else BrokenShown(run_id=broken.run_id, seq=broken.seq, why=broken.why, text=broken.text),
        against=against,
    )
