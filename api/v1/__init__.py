"""The REST API: a router per noun."""

from fastapi import APIRouter

from api.v1 import people, runs

router = APIRouter(prefix="/api/v1")
router.include_router(runs.router)
for access in (people.users, people.tokens, people.sessions):
    router.include_router(access)
