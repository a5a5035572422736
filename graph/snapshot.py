"""The audit's snapshot of a stage: what it was given, what it answered, what it wrote, what it cost."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from core.events import Entry
from core.json import JsonObject, JsonValue
from graph.stage_context import StageContext
from graph.state import StageOutcome, StageState
from memory.audit.stages import SNAPSHOT, told_of
from workspace.errors import FileMissing, WorkspaceError
from workspace.files import Files

FILE_KEPT = 100_000
"""Bytes of one file that the audit keeps; a longer one, or one that is no text, lies in git only."""
FILES_KEPT = 2_000_000
"""Bytes of all files of one stage."""


async def snapshot(stage: StageContext, state: StageState, outcome: StageOutcome) -> Entry:
    """The event of a stage that ends. Brief, result and files lie beside the chain, so that one can be
    forgotten; secrets in them are masked."""
    texts: dict[str, JsonValue] = {"brief": str(state["messages"][0].content)}
    if state.get("result"):
        texts["result"] = dict(state["result"])
    unkept: list[str] = []
    if outcome["files"]:
        tree = await stage.tree(state)
        kept, unkept = await asyncio.to_thread(_read, tree.files, outcome["files"])
        texts |= {f"file:{path}": text for path, text in kept.items()}
    payload: JsonObject = {
        "commit": outcome["commit"],
        "head": state["head"],
        "unkept": unkept,
        **await told_of(stage.services.db, state["run_id"], stage.key(state)),
    }
    entry = stage.entry(state, SNAPSHOT, payload, "snapshot")
    return Entry(entry.kind, entry.payload, entry.key, entry.team, texts)


def _read(files: Files, paths: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """The files that are kept, and the paths of those that are not. One that the stage removed is neither."""
    kept: dict[str, str] = {}
    unkept: list[str] = []
    left = FILES_KEPT
    for path in paths:
        try:
            text = files.read(path, limit=min(FILE_KEPT, left))
        except FileMissing:
            continue
        except WorkspaceError:
            unkept.append(path)
            continue
        kept[path] = text
        left -= len(text.encode())
    return kept, unkept
