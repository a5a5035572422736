"""The REST API: a router per noun."""

from fastapi import APIRouter

from api.v1 import events, people, runs

router = APIRouter(prefix="/api/v1")
router.include_router(runs.router)
router.include_router(events.router)
for access in (people.users, people.tokens, people.sessions):
    router.include_router(access)
