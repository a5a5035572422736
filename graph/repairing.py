"""What a conflict looks like to the team that is to repair it, and whether it still is one."""

from __future__ import annotations

from graph.stage_context import StageContext
from graph.state import Repair, StageState
from teams.wording import Places
from workspace.conflicts import Labels
from workspace.errors import WorkspaceError
from workspace.reconciling import labels
from workspace.stage import StageTree


async def laid_out(stage: StageContext, state: StageState, commit: str, repair: Repair) -> Places:
    """Of each file of the conflict, the places to decide."""
    repository = await stage.repository(state)
    said = labels(repair["standing"], repair["yours"])
    texts = {path: await repository.read(commit, path) or "" for path in repair["files"]}
    return {path: said.places(text) for path, text in texts.items()}


def unresolved(state: StageState, tree: StageTree) -> tuple[str, ...]:
    """The files in which a marker line is left. Blocks."""
    if not state["marked"]:
        return ()
    said = labels(*state["marks"])
    return tuple(path for path in state["marked"] if _marked(tree, path, said))


def _marked(tree: StageTree, path: str, said: Labels) -> bool:
    try:
        return said.left_in(tree.files.read(path))
    except WorkspaceError:
        return False  # deleted, or made something else: a decision too, for the checks and for people
