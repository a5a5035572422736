"""ETags: whether somebody's copy of a thing is still what the thing is (RFC 9110)."""

from __future__ import annotations

import re
from hashlib import sha256
from typing import Annotated, Final

from fastapi import Depends, Header, Request, Response
from pydantic import BaseModel

from core.errors import BadInput
from core.json import JsonValue, canonical

_TAG: Final = re.compile(r'\s*(?:W/)?("[\x21\x23-\x7e\x80-\xff]*")\s*(?:,|$)')

IfMatch = Annotated[
    str | None,
    Header(description="The ETag that the change began from; where the thing has another now, 412."),
]
IfNoneMatch = Annotated[
    str | None, Header(description="An ETag of before; where the thing still has it, 304 without a body.")
]


class Changed(BadInput):
    """It was changed since it was read."""

    http_status = 412


class NotModified(Exception):
    """The copy that the client has is the thing as it is."""

    def __init__(self, tag: str) -> None:
        self.tag = tag
        super().__init__(tag)


def etag(value: BaseModel | JsonValue) -> str:
    """The tag of a thing: the same where it says the same."""
    told: JsonValue = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
    return f'"{sha256(canonical(told).encode()).hexdigest()[:32]}"'


class Tagging:
    """Compares a thing with the tags of a request. A route's parameter: `tags: Tags`."""

    def __init__(
        self,
        request: Request,
        response: Response,
        if_match: IfMatch = None,
        if_none_match: IfNoneMatch = None,
    ) -> None:
        self._reads = request.method in ("GET", "HEAD")
        self._response = response
        self._if_match = if_match
        self._if_none_match = if_none_match

    def show(self, value: BaseModel | JsonValue) -> None:
        """Give the answer its tag. Raises NotModified where the client has it already."""
        tag = etag(value)
        if self._reads and self._if_none_match is not None and _names(self._if_none_match, tag):
            raise NotModified(tag)
        self._response.headers["ETag"] = tag
        self._response.headers.setdefault("Cache-Control", "no-cache")

    def require(self, value: BaseModel | JsonValue) -> None:
        """Raises Changed where the client's change began from something else than `value`, as it is now."""
        if self._if_match is not None and not _names(self._if_match, etag(value)):
            raise Changed(
                "It was changed since you read it",
                untouched="Nothing was changed",
                todo="Read it again, and send your change with its ETag in If-Match",
            )


Tags = Annotated[Tagging, Depends(Tagging)]


def _names(header: str, tag: str) -> bool:
    return header.strip() == "*" or tag in _TAG.findall(header)
