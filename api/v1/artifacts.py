"""`/api/v1/runs/{run_id}/artifacts`: the files that a run made.

They are content that models wrote. So a browser is told never to show or run one here, whatever it is.
"""

from __future__ import annotations

import mimetypes
import re
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Annotated, Any, Final, Literal
from urllib.parse import quote

from fastapi import APIRouter, Header, Path, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict

from api.access import Reader
from api.door import DoorRoute
from api.found import SLASHES, ThisRun
from api.paging import After, Limit, Listing, Page
from api.service import Service, Serving
from core.errors import BadInput, NotFound
from graph.made import Made, made
from graph.runs import Run
from workspace.artifacts import Artifact, Form, Kind

router = APIRouter(prefix="/runs/{run_id}", tags=["artifacts"], route_class=DoorRoute)

_RANGE: Final = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
_BINARY: Final[dict[str, Any]] = {"schema": {"type": "string", "format": "binary"}}
_DOWNLOAD: Final = {"*/*": _BINARY}
_NO_FILES: Final[dict[int | str, dict[str, Any]]] = {409: {"description": "The run has made nothing yet."}}
_ARCHIVE: Final = {"application/x-tar": _BINARY, "application/zip": _BINARY}
_SAFE: Final = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "sandbox; default-src 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""What keeps a browser from running what it is given."""


class RangeUnusable(BadInput):
    """The file has no such range."""

    http_status = HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE

    def __init__(self, size: int) -> None:
        self._size = size
        super().__init__(f"The file has {size:,} bytes", todo="Ask for a range within them")

    def http_headers(self) -> dict[str, str]:
        """How long the file is."""
        return {"Content-Range": f"bytes */{self._size}"}


class ArtifactShown(BaseModel):
    """A file of a run."""

    model_config = ConfigDict(frozen=True)

    path: str
    kind: Kind
    """link: its content is where it points to."""
    size: int
    """Bytes."""
    content_type: str
    changed: bool
    """Whether the run made or changed it."""
    etag: str


class ArtifactPage(Page[ArtifactShown]):
    """Files of a run by their paths."""


class DiffShown(BaseModel):
    """What a run changed."""

    model_config = ConfigDict(frozen=True)

    run_id: str
    base: str
    """The commit that it began from."""
    head: str
    """The newest commit of its branch."""
    diff: str


@router.get("/artifacts", responses=_NO_FILES)
async def list_(
    service: Serving,
    _: Reader,
    run: ThisRun,
    changed: Annotated[bool, Query(description="Only what the run made or changed.")] = False,
    limit: Limit = 100,
    after: After = None,
) -> ArtifactPage:
    """The files of the run's branch, by their paths."""
    found = await _made(service, run)
    # A cursor goes on in the files as they were, also where the run has gone on meanwhile.
    listing = Listing("artifacts", {"r": run.id, "c": changed}, (str, str))
    head, last = listing.read(after) or (found.head, "")
    if head != found.head and not await found.repository.holds(found.head, head):
        head = found.head
    touched = set(await found.repository.changed(found.base, head))
    files = [
        one
        for one in await found.repository.artifacts.list(head)
        if one.path.encode("utf-8", "surrogateescape") > last.encode("utf-8", "surrogateescape")
        and (not changed or one.path in touched)
    ]
    files.sort(key=lambda one: one.path.encode("utf-8", "surrogateescape"))
    shown, next_ = listing.page(files[: limit + 1], limit, lambda one: (head, one.path))
    return ArtifactPage(items=[_shown(one, one.path in touched) for one in shown], next=next_)


@router.get(
    "/artifacts/{path:path}",
    response_class=Response,
    responses={
        **_NO_FILES,
        200: {"description": "The file.", "content": _DOWNLOAD},
        206: {"description": "The part of it that was asked for.", "content": _DOWNLOAD},
        304: {"description": "The copy that the client has is the file as it is."},
        416: {"description": "The file has no such range."},
    },
)
async def read(
    service: Serving,
    _: Reader,
    run: ThisRun,
    path: Annotated[
        str,
        Path(
            description="The file's path.",
            examples=["src/app.py"],
            max_length=4_096,
            json_schema_extra=SLASHES,
        ),
    ],
    range_: Annotated[str | None, Header(alias="Range", description="One range of bytes.")] = None,
    if_range: Annotated[str | None, Header(description="An ETag that the range is of.")] = None,
    if_none_match: Annotated[str | None, Header(description="An ETag of before.")] = None,
) -> Response:
    """A file, or one range of it; never shown or run by a browser."""
    found = await _made(service, run)
    artifact = await found.repository.artifacts.find(found.head, path)
    if artifact is None:
        raise NotFound(f"Run {run.id} has no file {path[:200]!a}", todo="List its artifacts")
    tag = _tag(artifact)
    headers = {
        **_SAFE,
        "ETag": tag,
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-cache",
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(_name(path), safe='')}",
    }
    if if_none_match is not None and (tag in if_none_match or if_none_match.strip() == "*"):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    start, end = 0, artifact.size
    status = HTTPStatus.OK
    wanted = _RANGE.fullmatch(range_.replace(" ", "")) if range_ and if_range in (None, tag) else None
    if wanted is not None and any(wanted.groups()):
        start, end = _span(wanted[1], wanted[2], artifact.size)
        status = HTTPStatus.PARTIAL_CONTENT
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{artifact.size}"
    headers["Content-Length"] = str(end - start)
    content = found.repository.artifacts.content(artifact, start, end)
    return StreamingResponse(content, status, headers, media_type=_type(artifact))


@router.get("/diff", responses=_NO_FILES)
async def diff(
    service: Serving,
    _: Reader,
    run: ThisRun,
    stat: Annotated[bool, Query(description="A table of files instead of the patch.")] = False,
) -> DiffShown:
    """What a run changed, from where it began to where it is."""
    found = await _made(service, run)
    text = await found.repository.diff(found.base, found.head, stat=stat)
    return DiffShown(run_id=run.id, base=found.base, head=found.head, diff=text)


@router.get(
    "/archive",
    response_class=Response,
    responses={**_NO_FILES, 200: {"description": "The archive.", "content": _ARCHIVE}},
)
async def archive(
    service: Serving,
    _: Reader,
    run: ThisRun,
    request: Request,
    format: Annotated[Literal["tar", "zip"], Query(description="How it is packed.")] = "tar",
) -> Response:
    """All files of the run's branch in one download, packed while it is sent."""
    found = await _made(service, run)
    form: Form = format
    headers = {
        **_SAFE,
        "Cache-Control": "private, no-cache",
        "Content-Disposition": f'attachment; filename="{run.id}.{form}"',
    }
    packed = found.repository.artifacts.packed(found.head, form, run.id)
    kind = "application/x-tar" if form == "tar" else "application/zip"
    return StreamingResponse(await _begun(packed), headers=headers, media_type=kind)


async def _made(service: Service, run: Run) -> Made:
    return await made(service.factory.services.workspace, run)


async def _begun(packed: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same, its first part made already: what fails at the start is an error, not half an archive."""
    first = await anext(packed)

    async def all_() -> AsyncIterator[bytes]:
        yield first
        async for chunk in packed:
            yield chunk

    return all_()


def _span(first: str, last: str, size: int) -> tuple[int, int]:
    """The bytes of a range, the end not among them. Raises RangeUnusable."""
    if not first:
        start, end = max(0, size - int(last)), size
    else:
        start, end = int(first), min(size, int(last) + 1) if last else size
    if start >= end:
        raise RangeUnusable(size)
    return start, end


def _type(artifact: Artifact) -> str:
    if artifact.kind == "link":
        return "text/plain; charset=utf-8"
    found, encoding = mimetypes.guess_type(artifact.path)
    if found is None or encoding is not None:
        return "application/octet-stream"
    return f"{found}; charset=utf-8" if found.startswith("text/") else found


def _name(path: str) -> bytes:
    return path.rpartition("/")[2].encode("utf-8", "replace")


def _tag(artifact: Artifact) -> str:
    return f'"{artifact.id}"'


def _shown(one: Artifact, changed: bool) -> ArtifactShown:
    return ArtifactShown(
        path=one.path.encode("utf-8", "replace").decode(),
        kind=one.kind,
        size=one.size,
        content_type=_type(one),
        changed=changed,
        etag=_tag(one),
    )
