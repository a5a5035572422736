"""Files that the page links to: what a run made, as git has it, and what a person sent."""

from __future__ import annotations

import asyncio
import html
import mimetypes
import re
from pathlib import PurePosixPath
from typing import Final
from urllib.parse import quote, unquote

from starlette.responses import (
    FileResponse,
    HTMLResponse,
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
)
from starlette.types import Scope

from chat import tables
from chat.desk import Desk
from chat.threads import Threads
from chat.wire import ROOT
from core.errors import FactoryError
from governance.access import Principal
from governance.roles import NotPermitted

_COMMIT: Final = re.compile(r"[0-9a-f]{7,64}")
_QUIET: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
    "Cache-Control": "private, max-age=300",
}
"""What a model wrote is text here: nothing of it runs, and nothing is fetched."""


class Files:
    """Answers `/artifacts/RUN/COMMIT/PATH`, `/tables/…` of the same, `/files/ID` and `/traces/RUN`."""

    def __init__(self, desk: Desk, threads: Threads) -> None:
        self._desk = desk
        self._threads = threads

    async def __call__(self, scope: Scope, person: Principal, path: str) -> Response:
        """The file, or why not."""
        try:
            person.require("read")
        except NotPermitted as refused:
            return JSONResponse({"detail": str(refused)}, status_code=refused.http_status)
        kind, _, rest = unquote(path).removeprefix("/").partition("/")
        if kind == "traces":
            return await self._traces(rest)
        if kind == "files":
            found = await self._sent(rest, person)
        else:
            found = await self._artifact(rest, as_table=kind == "tables")
        return found or JSONResponse({"detail": "There is no such file"}, status_code=404)

    async def _artifact(self, rest: str, *, as_table: bool) -> Response | None:
        run_id, _, rest = rest.partition("/")
        commit, _, path = rest.partition("/")
        if not _COMMIT.fullmatch(commit) or PurePosixPath(path).is_absolute() or ".." in path.split("/"):
            return None
        try:
            repository = await self._desk.factory.services.repository(run_id)
            if not path and not as_table:
                return _listing(run_id, commit, await repository.files(commit))
            text = await repository.read(commit, path)
        except FactoryError:
            return None
        if text is None:
            return None
        if as_table:
            return await asyncio.to_thread(_table, path, text)
        name = quote(PurePosixPath(path).name)
        shown = {"Content-Disposition": f"inline; filename*=UTF-8''{name}"}
        return PlainTextResponse(text, headers={**_QUIET, **shown})

    async def _traces(self, run_id: str) -> Response:
        """On to Langfuse, which is asked for the way only when somebody wants to go there."""
        try:
            models = await self._desk.factory.services.models_for(run_id, None)
            where = await models.traced_at(run_id)
        except FactoryError as error:
            return JSONResponse({"detail": str(error)}, status_code=error.http_status)
        if where is None:
            told = "Langfuse is told nothing of this run, or does not say which project its keys are of"
            return JSONResponse({"detail": told}, status_code=404)
        return RedirectResponse(where, status_code=303, headers={"Cache-Control": "no-store"})

    async def _sent(self, file_id: str, person: Principal) -> Response | None:
        found = await self._threads.file(file_id, person.name)
        if found is None or not found[0].is_file():
            return None
        path, name, _ = found
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        media = "text/plain" if kind.startswith("text/") else "application/octet-stream"
        return FileResponse(path, filename=name, media_type=media, headers=_QUIET)


def _table(path: str, text: str) -> Response:
    try:
        return JSONResponse(tables.read(path, text).record(), headers=_QUIET)
    except tables.NoTable as error:
        return JSONResponse({"detail": str(error)}, status_code=422)


def _listing(run_id: str, commit: str, files: list[str]) -> Response:
    links = "\n".join(
        f'<li><a href="{ROOT}/artifacts/{quote(run_id)}/{commit}/{quote(path)}">{html.escape(path)}</a></li>'
        for path in files
    )
    page = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(run_id)}</title>'
        "<style>:root{color-scheme:light dark}body{font:16px/1.6 system-ui,sans-serif;margin:2rem auto;"
        "max-width:50rem;padding:0 1rem}</style>"
        f"<h1>{len(files)} files</h1><p>Run <code>{html.escape(run_id)}</code>, "
        f"commit <code>{commit[:12]}</code>.</p><ul>{links}</ul></html>"
    )
    return HTMLResponse(page, headers=_QUIET)
