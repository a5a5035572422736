"""`factory memory models`: list, show, compare and edit mental models."""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path
from typing import Any, cast

from cli import requirement as requirements
from cli.banks import Here, opened
from cli.screen import Screen, one_line, table
from cli.whoami import whoami
from core.errors import BadInput, NotFound
from core.json import JsonObject
from memory.mental_models.page import Page, difference
from memory.mental_models.service import MentalModels
from memory.screening import screen as screened
from memory.service import Memories


class PageUnclear(BadInput):
    """It is not clear which page is meant."""


_PAGE = requirements.Meant(
    "The page",
    "The page is as it was",
    "A page has at most 4,000 characters: take out what matters least",
    "Write a line for each thing, `- ` before it; begin with: factory memory models PROJECT TEAM > FILE",
)
_NAMED = re.compile(r"<!-- (\S+) in (\S+), version (\d{1,9})\b[^\n]*-->\s*(?:\n|$)")
"""The first line of a page in a file: which page it is, and which version of it."""


async def show(
    project: str | None,
    team: str | None,
    version: int | None,
    *,
    versions: bool,
    diff: bool,
    as_json: bool,
) -> int:
    """List pages, or show one, its versions, or what a version changed; returns 0."""
    screen = Screen(as_json)
    async with opened() as memories:
        models = MentalModels(memories)
        if project is None or team is None:
            if versions or diff or version is not None:
                raise PageUnclear("One page has versions", todo="Name the project and the team")
            return await _listed(screen, models, project)
        if not await models.versions(project, team):
            await _known(memories, project, team)
        if versions:
            return _told(screen, await models.versions(project, team))
        if diff:
            return await _compared(screen, models, project, team, version)
        page = await models.page(project, team, version)
    if as_json:
        screen.result(cast(JsonObject, plain(page)))
        return 0
    if not page.version:
        screen.say("It has no page yet; one is written when a stage of it leaves something to remember.")
        return 0
    title = one_line(f"{page.team} in {page.project}, version {page.version}, {_how(page)}")
    if screen.out.is_terminal:
        screen.note(title, style="bold")
    else:  # a file says which page it is, so that putting it back overwrites nothing that came meanwhile
        screen.say(f"<!-- {title} -->")
    for line in page.lines:
        screen.say(one_line(line.written, 600) if line.text else "- (forgotten)")
    if page.withheld:
        screen.note(f"{page.withheld} lines hold no more and are left out; the next refresh removes them.")
    return 0


async def edit(
    project: str | None, team: str | None, file: Path, based_on: int | None, *, as_json: bool
) -> int:
    """Put a person's page in the place of the newest; returns 0."""
    screen = Screen(as_json)
    if project is None or team is None:
        raise PageUnclear("Whose page is it?", untouched="No page was changed", todo="Name project and team")
    named, text = _begun(await asyncio.to_thread(_read, file), project, team)
    async with opened() as memories:
        models = MentalModels(memories)
        await _known(memories, project, team)
        current = await models.page(project, team)
        base = next((one for one in (based_on, named) if one is not None), current.version)
        page = await models.edit(project, team, text, based_on=base, by=whoami())
    before = set(current.text.splitlines())
    masked = screened("\n".join(row for row in text.splitlines() if row not in before)).found
    if as_json:
        screen.result(cast(JsonObject, plain(page) | {"masked": list(masked)}))
        return 0
    if page.version == current.version:
        screen.say("Nothing of it changed.")
        return 0
    screen.say(f"Version {page.version} is yours; no refresh takes your lines away.")
    for row in difference(current, page):
        screen.say(one_line(row, 600))
    if masked:
        screen.note(f"Masked before it was kept: {', '.join(masked)}.", style="yellow")
    return 0


def _begun(text: str, project: str, team: str) -> tuple[int | None, str]:
    """The version that a page in a file began from, where the file says so, and the page itself."""
    said = _NAMED.match(text)
    if said is None:
        return None, text
    if (said[1], said[2]) != (team, project):
        raise PageUnclear(
            one_line(f"The file is the page of {said[1]} in {said[2]}, not of {team} in {project}", 300),
            untouched="The page is as it was",
            todo="Name the page that it is, or take its first line out",
        )
    return int(said[3]), text[said.end() :]


def _read(file: Path) -> str:
    if str(file) == "-":
        return requirements.read_stream(sys.stdin.buffer, "standard input", _PAGE)
    try:
        with file.open("rb") as stream:
            return requirements.read_stream(stream, str(file), _PAGE)
    except OSError as error:
        raise PageUnclear(
            f"{file} cannot be read: {error.strerror}",
            untouched="The page is as it was",
            todo="Write the page into a file; begin with: factory memory models PROJECT TEAM > FILE",
        ) from None


def plain(page: Page) -> dict[str, Any]:
    """A page for programs."""
    return {
        "project": page.project,
        "team": page.team,
        "version": page.version,
        "at": None if page.at is None else page.at.isoformat(),
        "by": page.by,
        "way": page.way,
        "withheld": page.withheld,
        "lines": [
            {
                "text": line.text,
                "by": line.by,
                "memories": list(line.sources),
                "forgotten": line.forgotten,
            }
            for line in page.lines
        ],
    }


async def _known(memories: Memories, project: str, team: str) -> None:
    """Raises NotFound where there is no such project or team."""
    if any(info.name == team for info in await memories.banks(project)):
        return
    Here().has_project(project)
    await asyncio.to_thread(Here().is_team, team)


async def _listed(screen: Screen, models: MentalModels, project: str | None) -> int:
    pages = await models.all(project)
    if project is not None and not pages:
        Here().has_project(project)
    if screen.as_json:
        screen.result(cast(JsonObject, {"pages": [plain(page) for page in pages]}))
        return 0
    rows = table("project", "team", "version", "lines", "written", right=("version", "lines"))
    for page in pages:
        lines = sum(bool(line.text) for line in page.lines)
        rows.add_row(one_line(page.project), one_line(page.team), str(page.version), str(lines), _how(page))
    screen.out.print(rows) if pages else screen.say("No team has a page yet.")
    return 0


def _told(screen: Screen, pages: list[Page]) -> int:
    if screen.as_json:
        screen.result(cast(JsonObject, {"versions": [plain(page) for page in pages]}))
        return 0
    rows = table("version", "lines", "written", right=("version", "lines"))
    for page in pages:
        rows.add_row(str(page.version), str(sum(bool(line.text) for line in page.lines)), _how(page))
    screen.out.print(rows) if pages else screen.say("It has no page yet.")
    return 0


async def _compared(
    screen: Screen, models: MentalModels, project: str, team: str, version: int | None
) -> int:
    pages = await models.versions(project, team)
    wanted = len(pages) if version is None else version
    if not 1 <= wanted <= len(pages):
        raise NotFound(f"There is no version {wanted}", todo=f"The page has {len(pages)} versions")
    old = pages[wanted - 2] if wanted > 1 else Page(project, team)
    rows = difference(old, pages[wanted - 1])
    if screen.as_json:
        screen.result(cast(JsonObject, {"from": wanted - 1, "to": wanted, "diff": rows}))
        return 0
    for row in rows:
        screen.say(one_line(row, 600))
    return 0


def _how(page: Page) -> str:
    who = f"edited by {page.by}" if page.way == "person" else f"by {page.way}"
    return one_line(f"{who}, {page.at:%Y-%m-%d %H:%M}" if page.at else who)
