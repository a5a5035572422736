"""`factory audit export`, `import` and `imported`: chains that leave, and chains of others."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import cast

from cli import records
from cli import screen as look_of
from cli.auditing import FileInTheWay, FileUnwritable
from cli.screen import Screen, counted, table
from cli.whoami import whoami
from core.errors import BadInput
from core.json import JsonObject
from memory.audit import chains
from memory.audit.exporting import Passed, export
from memory.audit.importing import import_


class ExportUnclear(BadInput):
    """What to export, and where to, is not clear."""


class FileUnreadable(BadInput):
    """A file cannot be read."""


def target(words: list[str], *, everything: bool) -> Path:
    """The file that `export` is to write, `-` for standard output. Raises ExportUnclear, FileInTheWay."""
    if len(words) != (1 if everything else 2):
        raise ExportUnclear(
            "What to export, and where to, is not clear",
            untouched="Nothing was written",
            todo="Write: factory audit export RUN FILE, or: factory audit export --all FILE",
        )
    file = Path(words[-1])
    if words[-1] != "-" and file.exists():
        raise FileInTheWay(f"{file} is there already", untouched="It was left as it is", todo="Name another")
    return file


async def exported(run: str | None, file: Path, *, as_json: bool) -> int:
    """Write the chain of a run, or of all, to a file that is not there yet, or to `-`; returns 0."""
    screen = Screen(as_json)
    if str(file) == "-":
        return await _streamed(run, screen)
    part = file.with_name(f".{file.name}.{os.getpid()}.part")
    async with records.opened() as kept:
        run_id = await chains.find(kept.db, run) if run else None
        try:
            with part.open("x", encoding="utf-8") as stream:
                passed = await export(kept.db, run_id, stream.write)
                stream.flush()
                os.fsync(stream.fileno())
            os.link(part, file)  # unlike a rename, it takes nobody's place
        except OSError as error:
            raise FileUnwritable(
                f"{file} cannot be written: {error.strerror}",
                untouched="No file was left",
                todo="Name another",
            ) from error
        finally:
            part.unlink(missing_ok=True)
    if as_json:
        screen.result(_plain(passed, file))
        return 0
    screen.say(_passed(passed, f"written to {file}"), style="green")
    return 0


async def _streamed(run: str | None, screen: Screen) -> int:
    if screen.as_json:
        raise ExportUnclear(
            "Standard output takes the export or one JSON object, not both",
            untouched="Nothing was written",
            todo="Leave --json out, or name a file",
        )
    async with records.opened() as kept:
        run_id = await chains.find(kept.db, run) if run else None
        passed = await export(kept.db, run_id, sys.stdout.write)
    sys.stdout.flush()
    screen.note(_passed(passed, "written"), style="green")
    return 0


async def imported(file: Path, *, as_json: bool) -> int:
    """Take in the runs of an export, all or none; returns 0."""
    screen = Screen(as_json)
    try:
        stream = file.open("rb")
    except OSError as error:
        raise FileUnreadable(
            f"{file} cannot be read: {error.strerror}",
            untouched="Nothing was imported",
            todo="See that it is there",
        ) from error
    with stream:
        async with records.opened() as kept:
            passed = await import_(kept.db, stream, by=whoami())
    if as_json:
        screen.result(_plain(passed, file))
        return 0
    if passed.runs:
        screen.say(_passed(passed, "imported, read-only"), style="green")
        screen.note(f"Walk through one with: factory replay {passed.runs[0]}")
    if passed.known:
        screen.say(f"  Here already, the same event for event: {_runs(passed.known)}")
    return 0


async def listing(*, as_json: bool) -> int:
    """List the runs that were imported; returns 0."""
    screen = Screen(as_json)
    async with records.opened() as kept:
        found = await chains.imported(kept.db)
    if as_json:
        told = [
            {
                "run_id": one.run_id,
                "events": one.events,
                "hash": one.hash,
                "at": str(one.imported_at),
                "by": one.imported_by,
            }
            for one in found
        ]
        screen.result(cast(JsonObject, {"runs": told}))
        return 0
    if not found:
        screen.say("No run was imported.")
        return 0
    rows = table("run", "events", "imported", "by", right=("events",))
    for one in found:
        at = f"{one.imported_at.astimezone():%Y-%m-%d %H:%M}" if one.imported_at else ""
        rows.add_row(look_of.clean(one.run_id), f"{one.events:,}", at, look_of.clean(one.imported_by or ""))
    screen.out.print(rows)
    return 0


def _passed(passed: Passed, how: str) -> str:
    events, texts = counted(passed.events, "event"), counted(passed.texts, "text")
    return f"✓ {events} and {texts} of {_runs(passed.runs)} {how}"


def _runs(runs: list[str]) -> str:
    return f"1 run ({runs[0]})" if len(runs) == 1 else f"{len(runs):,} runs"


def _plain(passed: Passed, file: Path) -> JsonObject:
    return {
        "file": str(file),
        "runs": passed.runs,
        "known": passed.known,
        "events": passed.events,
        "texts": passed.texts,
    }
