"""Who may see which thread: a token that is bound to projects sees those that show runs of them only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, cast
from uuid import UUID

from fastapi import Depends, Request

from api.access import Caller, May, identify
from api.protocol.errors import no_thread
from api.protocol.opened import AgentProtocol
from api.protocol.queries import threads


@dataclass(frozen=True, slots=True)
class OnThread(May):
    """As `May`, for a route with `{thread_id}` in its path.

    What a bound token may not see is not there for it: another project's thread, and one that shows no run.
    """

    makes: bool = False
    """Whether the route may be the first to name the thread."""

    async def __call__(self, request: Request) -> Caller:
        caller = await identify(request)
        caller.require(self.permission)
        if caller.scopes.projects is not None:
            given = str(request.path_params["thread_id"])
            await _look(cast(AgentProtocol, request.app.state.protocol), given, caller, makes=self.makes)
        return caller


async def _look(protocol: AgentProtocol, given: str, caller: Caller, *, makes: bool) -> None:
    try:
        thread_id = UUID(given)
    except ValueError:
        raise no_thread(given) from None
    async with protocol.db.pool.connection() as conn:
        found = await threads.project_of(conn, thread_id)
        if found is None and await protocol.own.adopt(conn, thread_id):
            found = await threads.project_of(conn, thread_id)
    if found is None and makes:
        return
    if found is None or found["project"] not in (caller.scopes.projects or ()):
        raise no_thread(thread_id)


ThreadReader = Annotated[Caller, Depends(OnThread("read"))]
ThreadSubmitter = Annotated[Caller, Depends(OnThread("submit"))]
ThreadStarter = Annotated[Caller, Depends(OnThread("submit", makes=True))]
