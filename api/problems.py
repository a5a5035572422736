"""Errors as RFC 9457 problem documents, made from the exception classes.

A document has `type` (`urn:factory:` and the error's stable code), `title` (what kind of error it is),
`status`, `detail` (what happened), `untouched` (what was left as it was) and `todo` (what to do next).
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Any, Final

import psycopg
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from api.etags import NotModified
from core import logs
from core.database import DatabaseUnavailable
from core.errors import FactoryError
from core.redaction import redact

MEDIA_TYPE: Final = "application/problem+json"
_MOST_PROBLEMS: Final = 5
"""Faults of a request that one answer names."""

logger = logs.get(__name__)


class Problem(BaseModel):
    """An error (RFC 9457)."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "type": "urn:factory:not-found",
                "title": "There is nothing by that name or id",
                "status": 404,
                "detail": "No run starts with 'run-1'",
                "todo": "List the runs with `factory runs`",
            }
        }
    )

    type: Annotated[str, Field(description="`urn:factory:` and the error's stable code; or about:blank.")]
    title: Annotated[str, Field(description="What kind of error it is.")]
    status: int
    detail: Annotated[str, Field(description="What happened.")] = ""
    untouched: Annotated[str, Field(description="What was left as it was.")] = ""
    todo: Annotated[str, Field(description="What to do next.")] = ""


class ServiceFault(FactoryError):
    """The service failed."""


class RequestInvalid(FactoryError):
    """The request cannot be read."""

    http_status = 422


def document(error: FactoryError) -> dict[str, Any]:
    """The problem document of an error, secrets masked."""
    about = (type(error).__doc__ or FactoryError.__doc__ or "").strip().splitlines()[0]
    told = {
        "type": f"urn:factory:{error.code}",
        "title": about.rstrip("."),
        "status": error.http_status,
        "detail": error.what,
        "untouched": error.untouched,
        "todo": error.todo,
    }
    return {name: _plain(value) for name, value in told.items() if value}


def _plain(value: str | int) -> str | int:
    """A text as an answer may hold it: secrets masked, and what no UTF-8 has shown as what it is."""
    if isinstance(value, int):
        return value
    return redact(value).encode("utf-8", "backslashreplace").decode()


def answer(error: FactoryError, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """The response that carries it."""
    return JSONResponse(
        document(error),
        status_code=error.http_status,
        media_type=MEDIA_TYPE,
        headers={**error.http_headers(), **(headers or {})},
    )


def install(app: FastAPI) -> None:
    """Let `app` answer every error with a problem document."""

    @app.exception_handler(FactoryError)
    async def of_factory(request: Request, error: FactoryError) -> JSONResponse:  # pyright: ignore[reportUnusedFunction]
        request.state.refusal = error.code  # for the audit, where it turned the request away
        if error.http_status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            logger.error("request failed", error=str(error), code=error.code)
        return answer(error)

    @app.exception_handler(RequestValidationError)
    async def of_request(_: Request, error: RequestValidationError) -> JSONResponse:  # pyright: ignore[reportUnusedFunction]
        faults = [f"{'.'.join(str(part) for part in e['loc'])}: {e['msg']}" for e in error.errors()]
        more = f" and {len(faults) - _MOST_PROBLEMS} more" if len(faults) > _MOST_PROBLEMS else ""
        return answer(
            RequestInvalid(
                "; ".join(faults[:_MOST_PROBLEMS]) + more,
                untouched="Nothing was changed",
                todo="Correct the request; /openapi.json says what each operation takes",
            )
        )

    @app.exception_handler(HTTPException)
    async def of_http(_: Request, error: HTTPException) -> JSONResponse:  # pyright: ignore[reportUnusedFunction]
        phrase = HTTPStatus(error.status_code).phrase
        told = {"type": "about:blank", "title": phrase, "status": error.status_code}
        if error.detail != phrase:
            told["detail"] = _plain(str(error.detail))
        return JSONResponse(
            told, status_code=error.status_code, media_type=MEDIA_TYPE, headers=dict(error.headers or {})
        )

    @app.exception_handler(NotModified)
    async def of_copy(_: Request, fresh: NotModified) -> Response:  # pyright: ignore[reportUnusedFunction]
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers={"ETag": fresh.tag})

    @app.exception_handler(psycopg.OperationalError)
    async def of_database(_: Request, error: psycopg.OperationalError) -> JSONResponse:  # pyright: ignore[reportUnusedFunction]
        logger.error("database unavailable", error=str(error), sqlstate=error.sqlstate)
        return answer(
            DatabaseUnavailable(
                "The database cannot be reached now",
                untouched="What was recorded is kept",
                todo="Send the request again in a moment, with the same Idempotency-Key if it had one",
            )
        )

    @app.exception_handler(psycopg.DataError)
    async def of_text(_: Request, error: psycopg.DataError) -> JSONResponse:  # pyright: ignore[reportUnusedFunction]
        # A text with NUL, a number without end: no row holds them, whichever route let them through.
        logger.warning("request refused by the database", error=str(error))
        return answer(
            RequestInvalid(
                "A value holds what cannot be kept, such as a NUL character or a number out of range",
                untouched="Nothing was changed",
                todo="Correct the request; /openapi.json says what each operation takes",
            )
        )

    @app.exception_handler(Exception)
    async def of_anything(_: Request, error: Exception) -> JSONResponse:  # pyright: ignore[reportUnusedFunction]
        # What it says may be anybody's data: it goes to the log, not to the client.
        logger.exception("request failed", error=type(error).__name__)
        return answer(ServiceFault(todo="Its log has the reason; the request id leads to it"))
