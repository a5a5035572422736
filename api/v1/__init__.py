"""The REST API: a router per noun."""

from fastapi import APIRouter
from starlette.routing import Match
from starlette.types import Scope

from api.openapi import PREFIX
from api.v1 import (
    approvals,
    artifacts,
    audit,
    clarifications,
    costs,
    events,
    log,
    memory,
    mental_models,
    models,
    people,
    projects,
    purging,
    runs,
    schedules,
    teams,
    webhooks,
)


class _Below(APIRouter):
    """Its routes are not looked through for a request that is for somebody else."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """As FastAPI has it."""
        return super().matches(scope) if scope["path"].startswith(PREFIX) else (Match.NONE, {})


router = _Below(prefix=PREFIX)
for noun in (
    *(projects, runs, purging, events, log, artifacts, approvals, clarifications, teams),
    *(memory, mental_models, models, costs, audit, schedules, webhooks),
):
    router.include_router(noun.router)
router.include_router(projects.uploads)
for access in (people.users, people.tokens, people.sessions):
    router.include_router(access)
