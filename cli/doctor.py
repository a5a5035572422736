"""`factory doctor`: does this machine have what the factory needs? Each answer was tried, not assumed."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from typing import Any, cast
from urllib.parse import urlsplit

from cli import service_doctor
from cli.check import Check, State
from cli.screen import Look, Screen, clean, table
from core.database import Database
from core.errors import FactoryError
from core.json import JsonObject
from core.settings import Settings
from workspace.sandbox import Sandbox

_LOOKS: dict[State, Look] = {
    "ok": Look("✓", "ok", "green"),
    "warning": Look("!", "warning", "bold yellow"),
    "missing": Look("✗", "missing", "bold red"),
}
_PACKAGES = ("langgraph", "langchain-core", "langchain-ollama", "psycopg", "pydantic", "ruff", "pytest")
_GIT = (2, 31)
_LITTLE = 2_000_000_000
_NO_SPACE = 200_000_000


async def doctor(server: str | None = None, *, as_json: bool) -> int:
    """Try everything, here or at a server; returns 0 when it can work, 4 when something is missing."""
    screen = Screen(as_json)
    checks: list[Check] = []
    if server is not None:
        checks = await service_doctor.checks(server)
    else:
        settings = Settings.load()
        for check in _CHECKS:
            checks += await check(settings)
    where = "here" if server is None else "there"
    works = all(check.state != "missing" for check in checks)
    if as_json:
        screen.result(cast(JsonObject, {"ok": works, "checks": [asdict(check) for check in checks]}))
        return 0 if works else 4
    rows = table("state", "what", "found")
    for check in checks:
        advice = f"\n→ {clean(check.todo)}" if check.todo else ""
        rows.add_row(_LOOKS[check.state].text(), check.name, f"{clean(check.detail)}{advice}")
    screen.out.print(rows)
    screen.say()
    if works:
        screen.say(f"✓ The factory can work {where}.", style="green")
    else:
        screen.say("✗ Something is missing; see the advice above.", style="bold red")
    return 0 if works else 4


async def _python(_: Settings) -> list[Check]:
    running = ".".join(str(part) for part in sys.version_info[:3])
    return [Check("python", "ok", f"{running} at {sys.prefix}")]


async def _versions(_: Settings) -> list[Check]:
    found: list[str] = []
    missing: list[str] = []
    for package in ("factory-ai", *_PACKAGES):
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            # From a plain checkout the factory itself is not installed; that is no fault.
            (found if package == "factory-ai" else missing).append(f"{package} (not installed)")
    if missing:
        return [Check("packages", "missing", ", ".join(missing), "Install the lock again: make setup")]
    return [Check("packages", "ok", ", ".join(found))]


async def _home(settings: Settings) -> list[Check]:
    # Nothing is created: the nearest folder that exists tells what is possible.
    place = settings.home
    while not place.exists():
        place = place.parent
    if not place.is_dir():
        return [
            Check("home folder", "missing", f"{place} is no folder", "Set FACTORY_HOME to a folder of yours")
        ]
    if not os.access(place, os.W_OK | os.X_OK):
        return [
            Check(
                "home folder", "missing", f"{place} is not writable", "Set FACTORY_HOME to a folder of yours"
            )
        ]
    free = shutil.disk_usage(place).free
    detail = f"{settings.home} ({free / 1e9:.1f} GB free)"
    if free < _NO_SPACE:
        return [
            Check("home folder", "missing", detail, "Free some space, or set FACTORY_HOME to another disk")
        ]
    if free < _LITTLE:
        return [Check("home folder", "warning", detail, "A run of the full pipeline may need more")]
    return [Check("home folder", "ok", detail)]


async def _database(settings: Settings) -> list[Check]:
    try:
        async with Database.open(settings) as db:
            async with db.pool.connection() as connection:
                server = await (await connection.execute("SHOW server_version")).fetchone()
                vector = await (
                    await connection.execute(
                        "SELECT default_version FROM pg_available_extensions WHERE name = 'vector'"
                    )
                ).fetchone()
            kind = "embedded" if db.embedded else "given by FACTORY_DATABASE_URL"
    except FactoryError as error:
        return [Check("postgres", "missing", error.what, error.todo)]
    checks = [
        Check("postgres", "ok", f"{server['server_version'] if server else '?'}, {kind}, schema up to date")
    ]
    if vector is None:
        checks.append(
            Check(
                "pgvector",
                "warning",
                "not available",
                "Install pgvector on the server; team memory will need it",
            )
        )
    else:
        checks.append(Check("pgvector", "ok", str(vector["default_version"])))
    return checks


async def _git(_: Settings) -> list[Check]:
    git = shutil.which("git")
    if git is None:
        return [Check("git", "missing", "not on PATH", "Install git 2.31 or newer")]
    said = await asyncio.to_thread(
        subprocess.run, [git, "--version"], capture_output=True, text=True, check=False, timeout=10
    )
    words = said.stdout.split()
    number = words[2] if len(words) > 2 else "?"
    parts = tuple(int(part) for part in number.split(".")[:2] if part.isdigit())
    if parts < _GIT:
        return [Check("git", "missing", f"{number} is too old", "Install git 2.31 or newer")]
    return [Check("git", "ok", number)]


async def _sandbox(settings: Settings) -> list[Check]:
    sandbox = await Sandbox.open(settings)
    protections = ", ".join(
        f"{name.replace('_', ' ')} {'yes' if on else 'not known' if on is None else 'NO'}"
        for name, on in sandbox.protections.items()
    )
    missing = ", ".join(name.replace("_", " ") for name, on in sandbox.protections.items() if not on)
    if not sandbox.available:
        state: State = "warning" if sandbox.unsafe else "missing"
        detail = sandbox.why_not or "no isolation"
        if sandbox.unsafe:
            detail = f"switched off by FACTORY_UNSAFE_NO_SANDBOX; {detail}"
        if missing:
            detail = f"{detail}; missing: {missing}"
        todo = "Install bubblewrap, or allow user namespaces; the teams' code is not run without isolation"
        return [Check("sandbox", state, detail, todo)]
    if sandbox.unsafe:
        return [Check("sandbox", "warning", f"FACTORY_UNSAFE_NO_SANDBOX is set; {protections}", "Unset it")]
    if all(sandbox.protections.values()):
        return [
            Check(
                "sandbox",
                "ok",
                f"{settings.sandbox_backend}, all {len(sandbox.protections)} protections hold",
            )
        ]
    state = "warning" if False in sandbox.protections.values() else "ok"
    return [Check("sandbox", state, protections, f"Missing here: {missing}; see docs/security.md")]


async def _ollama(settings: Settings) -> list[Check]:
    url = settings.ollama_url.rstrip("/")
    shown = _without_password(url)
    try:
        server = await asyncio.to_thread(_get, f"{url}/api/version")
        models = await asyncio.to_thread(_get, f"{url}/api/tags")
    except (OSError, ValueError) as error:
        # urllib wraps the reason in an error of its own, whose text is made for programmers.
        reason = getattr(error, "reason", error)
        return [
            Check(
                "ollama",
                "warning",
                f"does not answer at {shown} ({getattr(reason, 'strerror', None) or reason})",
                "Start it, or set FACTORY_OLLAMA_URL; until then only the scripted offline model works",
            )
        ]
    names = sorted(str(model.get("name", "?")) for model in models.get("models", []))
    if not names:
        return [
            Check(
                "ollama", "warning", f"{server.get('version', '?')} at {shown}, no model", "ollama pull MODEL"
            )
        ]
    return [Check("ollama", "ok", f"{server.get('version', '?')} at {shown}: {', '.join(names)}")]


def _get(url: str) -> dict[str, Any]:
    if not url.startswith(("http://", "https://")):
        raise ValueError("no http address")
    with urllib.request.urlopen(url, timeout=3) as reply:  # noqa: S310 (the scheme was checked)
        value = json.loads(reply.read(5_000_000))
    if not isinstance(value, dict):
        raise ValueError("it is no Ollama")
    return cast(dict[str, Any], value)


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=host).geturl()


async def _settings_files(settings: Settings) -> list[Check]:
    named = {"FACTORY_MODELS_FILE": settings.models_file, "FACTORY_POLICY_FILE": settings.policy_file}
    return [
        Check("settings", "missing", f"{name}: there is no file {path}", f"Correct {name}")
        for name, path in named.items()
        if path is not None and not await asyncio.to_thread(path.is_file)
    ]


_CHECKS: tuple[Callable[[Settings], Awaitable[list[Check]]], ...] = (
    _python,
    _versions,
    _settings_files,
    _home,
    _database,
    _git,
    _sandbox,
    _ollama,
)
