"""The REST API: a router per noun."""

from fastapi import APIRouter

from api.v1 import runs

router = APIRouter(prefix="/api/v1")
router.include_router(runs.router)
