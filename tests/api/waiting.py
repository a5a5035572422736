"""Waits for what a run comes to, over the service's own log."""

from __future__ import annotations

from tests.api.conftest import Served

ONE = {"requirement": "A page about ferns", "pipeline": "one", "approve_all": True}
"""A run that goes through one team and ends."""
ASKING = {"requirement": "A page about ferns", "pipeline": "one"}
"""The same, but that its review waits for a person."""


async def submitted(served: Served, wanted: dict[str, object] = ONE) -> str:
    """The id of a run that was submitted over HTTP."""
    created = await served.http.post("/api/v1/runs", json=wanted)
    assert created.status_code == 201, created.text
    return str(created.json()["run_id"])


async def ended(served: Served, run_id: str) -> None:
    """Until the run has ended."""
    async for event in served.factory.follow(run_id):
        if event.kind == "run.ended":
            return


async def asked(served: Served, run_id: str) -> str:
    """Until the run waits for a person; the question's id."""
    approval, waits = "", False
    async for event in served.factory.follow(run_id):
        if event.kind == "approval.requested":
            approval = str(event.payload["approval_id"])
        waits = waits or (event.kind == "run.status" and str(event.payload["to"]).startswith("awaiting"))
        if approval and waits:
            return approval
    raise AssertionError("the run asked nothing")
