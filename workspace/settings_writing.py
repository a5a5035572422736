"""Changes that a person makes through the factory to the operator's project.toml; all else in it stays."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from workspace import project_settings
from workspace.locks import FileLock
from workspace.project_settings import ProjectSettings, ProjectSettingsInvalid, operators_file

TABLES: Final = ("models", "budget", "deadlines", "memory")
"""What may be set so, beside the description. The others say where code and tokens go, and what is run."""


@asynccontextmanager
async def changing(home: Path, project: str) -> AsyncGenerator[None]:
    """Hold the operator's file of a project for reading, comparing and writing it."""
    async with FileLock(home / "projects" / project / "settings.lock").held():
        yield


async def write(home: Path, project: str, changes: Mapping[str, Any]) -> ProjectSettings:
    """Put these tables, and the description, in the place of those in the file. Only while `changing`.

    Raises ProjectSettingsInvalid; the file is as it was then.
    """
    return await asyncio.to_thread(_write, operators_file(home, project), changes)


def _write(path: Path, changes: Mapping[str, Any]) -> ProjectSettings:
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    text = with_tables(before, changes, str(path))
    fresh = path.with_name(f"{path.name}.new")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)
    return project_settings.parse(text, str(path))


def with_tables(text: str, changes: Mapping[str, Any], where: str) -> str:
    """The text of an operator's file with `changes` in the place of what it had.

    Raises ProjectSettingsInvalid where the result would not say exactly that.
    """
    old = project_settings.parse(text, where)
    names = "|".join(re.escape(name) for name in changes)
    mine = re.compile(rf"\s*\[\s*({names})\s*[\].]")
    at_top = re.compile(rf"\s*({names})\s*=")
    head: list[str] = []
    kept: list[str] = []
    inside, top = False, True
    for line in text.splitlines():
        if line.strip().startswith("["):
            inside, top = mine.match(line) is not None, False
        if not inside and not (top and at_top.match(line)):
            (head if top else kept).append(line)
    # An empty text is left out: said, it would take the place of what the repository's own file says.
    values = [
        f"{name} = {_value(value)}" for name, value in changes.items() if value and not _is_table(value)
    ]
    tables = [line for name, value in changes.items() if _is_table(value) for line in _table(name, value)]
    fresh = "\n".join([*values, *head, *kept, *tables]).strip() + "\n"
    told = project_settings.parse(fresh, where)
    wanted = ProjectSettings.model_validate({**dict(old), **changes})
    if told.model_dump() != wanted.model_dump():
        raise ProjectSettingsInvalid(
            f"{where}: what it says cannot be replaced",
            untouched="It was left as it is",
            todo="Edit the file",
        )
    return fresh


def _table(name: str, told: Mapping[str, Any]) -> list[str]:
    rows = [f"{key} = {_value(value)}" for key, value in told.items() if _is_said(value)]
    inner = [
        line for key, value in told.items() if _is_table(value) for line in _table(f"{name}.{key}", value)
    ]
    return [*([f"[{name}]", *rows] if rows else []), *inner]


def _is_table(value: object) -> bool:
    return isinstance(value, Mapping)


def _is_said(value: object) -> bool:
    return value is not None and not _is_table(value)


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    # A JSON text is a TOML text, but for one character that nothing printable holds.
    return json.dumps(f"{value:f}" if isinstance(value, Decimal) else str(value), ensure_ascii=False)
