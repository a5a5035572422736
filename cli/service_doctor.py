"""`factory doctor --server URL`: does a service elsewhere work, and does it let this person in?"""

from __future__ import annotations

import os
from http import HTTPStatus
from typing import Any, Final

import httpx

from cli.check import Check
from core.errors import BadInput
from core.json import is_object

TOKEN: Final = "FACTORY_TOKEN"  # noqa: S105 (the name of a variable)
_PATIENCE: Final = 10.0


async def checks(url: str) -> list[Check]:
    """Ask the service, with the token in FACTORY_TOKEN where there is one."""
    if not url.startswith(("http://", "https://")):
        raise BadInput(f"{url[:100]!a} is no address of a service", todo="Write it as http://host:port")
    token = os.environ.get(TOKEN, "")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with httpx.AsyncClient(base_url=url.rstrip("/"), headers=headers, timeout=_PATIENCE) as http:
        try:
            answer = await http.get("/health")
        except httpx.HTTPError as error:
            why = str(error) or type(error).__name__
            return [
                Check("service", "missing", f"does not answer ({why})", "See that it runs: factory serve")
            ]
        if answer.status_code != HTTPStatus.OK:
            return [_refused(answer)]
        milliseconds = answer.elapsed.total_seconds() * 1000
        found = [Check("service", "ok", f"answers in {milliseconds:.0f} ms")]
        found += _parts(await http.get("/ready"))
        found.append(_caller(await http.get("/api/v1/sessions/current")))
    if url.startswith("http://") and not any(name in url for name in ("//127.", "//localhost", "//[::1]")):
        found.append(
            Check("transport", "warning", "token and content cross the network unencrypted", "Use https")
        )
    return found


def _refused(answer: httpx.Response) -> Check:
    told = _told(answer)
    detail = str(told.get("detail") or f"answers {answer.status_code}")
    return Check("service", "missing", detail, str(told.get("todo") or "See its log"))


def _parts(answer: httpx.Response) -> list[Check]:
    parts = _told(answer).get("parts")
    if not is_object(parts):
        return [Check("ready", "missing", f"answers {answer.status_code}", "Is it a factory?")]
    return [
        Check(
            str(name), "ok" if said == "ok" else "missing", str(said), "" if said == "ok" else "See its log"
        )
        for name, said in parts.items()
    ]


def _caller(answer: httpx.Response) -> Check:
    told = _told(answer)
    if answer.status_code == HTTPStatus.OK:
        bound = f", projects {', '.join(told['projects'])}" if told.get("projects") else ""
        return Check("token", "ok", f"{told.get('name')}, {told.get('role')}{bound}")
    todo = f"Set {TOKEN} to the token that the server printed, or to an API token"
    return Check("token", "warning", str(told.get("detail") or answer.status_code), todo)


def _told(answer: httpx.Response) -> dict[str, Any]:
    try:
        told = answer.json()
    except ValueError:
        return {}
    return told if is_object(told) else {}
