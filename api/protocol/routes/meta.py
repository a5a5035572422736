"""`/ok`, `/info`: what a client asks before anything else."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, Depends

from api.access import anybody
from api.protocol.opened import Opened

router = APIRouter(tags=["agent protocol"])


@router.get("/ok", dependencies=[Depends(anybody)])
async def ok(protocol: Opened, check_db: int = 0) -> dict[str, Any]:
    """Whether the server answers; with `check_db=1`, whether its database does."""
    if check_db:
        async with protocol.db.pool.connection() as conn:
            await conn.execute("SELECT 1")
    return {"ok": True}


@router.get("/info", dependencies=[Depends(anybody)])
async def info() -> dict[str, Any]:
    """What the server is and can do."""
    return {
        "version": version("factory-ai"),
        "langgraph_py_version": version("langgraph"),
        "flags": {"assistants": True, "crons": True, "langsmith": False},
        "host": {
            "kind": "self-hosted",
            "project_id": None,
            "host_revision_id": None,
            "revision_id": None,
            "tenant_id": None,
        },
    }
