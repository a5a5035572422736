"""Errors as RFC 9457 problem documents, made from the exception classes.

A document has `type` (`urn:factory:` and the error's stable code), `title` (what kind of error it is),
`status`, `detail` (what happened), `untouched` (what was left as it was) and `todo` (what to do next).
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from core import logs
from core.errors import FactoryError
from core.redaction import redact

MEDIA_TYPE: Final = "application/problem+json"
_MOST_PROBLEMS: Final = 5
"""Faults of a request that one answer names."""

logger = logs.get(__name__)


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
    return {name: redact(value) if isinstance(value, str) else value for name, value in told.items() if value}


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
    async def of_factory(_: Request, error: FactoryError) -> JSONResponse:  # pyright: ignore[reportUnusedFunction]
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
            told["detail"] = redact(error.detail)
        return JSONResponse(
            told, status_code=error.status_code, media_type=MEDIA_TYPE, headers=dict(error.headers or {})
        )

    @app.exception_handler(Exception)
    async def of_anything(_: Request, error: Exception) -> JSONResponse:  # pyright: ignore[reportUnusedFunction]
        # What it says may be anybody's data: it goes to the log, not to the client.
        logger.exception("request failed", error=type(error).__name__)
        return answer(ServiceFault(todo="Its log has the reason; the request id leads to it"))
