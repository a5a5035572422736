"""A team's mental model, brought up to what its bank says now, at the end of a stage or in its middle."""

from __future__ import annotations

from core import faults
from core.events import Entry
from core.json import JsonObject
from graph.opening import ProjectMemory
from graph.stage_context import StageContext, called
from graph.state import StageState
from memory.mental_models.service import MentalModels
from models.calls import Call, Reply
from teams.mental_model import editor

LEARNED = "memory.learned"
"""The kind of event that names the version of a team's page that a stage's memories led to."""


async def learn(stage: StageContext, state: StageState, opened: ProjectMemory, suffix: str) -> list[Entry]:
    """Refresh the team's page; with a model, where the project lets one read. Raises FactoryError.

    What is to be written down about it: nothing where the page is as it was.
    """
    key = f"{state['run_id']}/{stage.key(state)}/{suffix}"
    edits = None
    models = opened.models
    # What a model would be asked hangs on all that the bank holds, which is not what it held for a recording.
    if opened.settings.model and not models.replays:
        call = stage.call(state, "remember", f"{suffix}/edits", operative=stage.team.author.id)

        async def heard(asked: Call, reply: Reply) -> None:
            await stage.events(state, called(asked, reply))

        edits = editor(models, call, heard)
    page = await MentalModels(opened.memories).refresh(opened.project, stage.team.id, key=key, editor=edits)
    faults.point("memory.learned")
    if page.key != key:
        return []
    payload: JsonObject = {"version": page.version, "lines": len(page.lines), "way": page.way}
    return [stage.entry(state, LEARNED, payload, suffix)]
