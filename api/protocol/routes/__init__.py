"""The routes of the protocol: a module per noun. They stand at the root, where LangGraph's clients look."""

from __future__ import annotations

from fastapi import APIRouter

from api.protocol.routes import assistants, commands, crons, meta, runs, states, store, streams, threads

router = APIRouter()
for _part in (meta, assistants, crons, runs, streams, states, threads, store, commands):
    router.include_router(_part.router)
