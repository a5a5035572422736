"""The REST API: a router per noun."""

from fastapi import APIRouter

from api.openapi import PREFIX
from api.v1 import approvals, clarifications, events, log, people, runs, teams, webhooks

router = APIRouter(prefix=PREFIX)
for noun in (runs, events, log, approvals, clarifications, teams, webhooks):
    router.include_router(noun.router)
for access in (people.users, people.tokens, people.sessions):
    router.include_router(access)
