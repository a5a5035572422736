"""Rounds: a comment sends the run back to an earlier team, a bounded number of times."""

from __future__ import annotations

from typing import Any

from graph.again import again
from graph.lifecycle import move
from graph.services import Services
from graph.state import RunState


async def next_round(services: Services, state: RunState, comment: str) -> dict[str, Any]:
    """The state's update that starts the next round with `comment` as part of every objective in it."""
    number = state["round"] + 1
    run_id = state["run_id"]
    await services.events.append(
        run_id, "round.started", {"round": number, "comment": comment}, key=f"round/{number}{again(state)}"
    )
    await services.runs.set_revision(run_id, number - 1)
    await move(
        services.db, services.events, run_id, "in_progress", key=f"round/{number}{again(state)}/in_progress"
    )
    return {"round": number, "comment": comment, "sent_back": True, "review_stands": False}


def passage(node: str, state: RunState) -> str:
    """Tells one passage through a node from the next: by the round, and by how often the run came back to it
    because main, or its branch, had moved."""
    back = state.get("meetings", 0) + state.get("looks", 0)
    return f"{node}.{state['round']}" + (f".{back}" if back else "") + again(state)
