"""`/health`: whether the process answers. It asks nothing of anybody, so that it is never slow."""

from __future__ import annotations

from fastapi import APIRouter, Depends

from api.access import anybody

router = APIRouter(tags=["operations"])


@router.get("/health", dependencies=[Depends(anybody)])
async def health() -> dict[str, str]:
    """Whether the process answers."""
    return {"status": "ok"}
