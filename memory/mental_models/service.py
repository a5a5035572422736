"""The pages of a factory: read, refreshed after a retain, edited by a person, and forgotten from."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from psycopg.types.json import Jsonb

from core import clock
from core.errors import BadInput, NotFound
from memory.bank import Bank
from memory.embedding import State
from memory.mental_models import queries
from memory.mental_models.edits import Edit, Known, applied, digested
from memory.mental_models.page import FACTORY, Line, Page, Way, edited
from memory.mental_models.reading import home_of, known_of, memories_of, page_of, sources_of
from memory.records import Memory
from memory.service import Memories

Editor = Callable[[Sequence[Line], Known], Awaitable[Sequence[Edit] | None]]
"""Proposes edits to a page; None where nothing usable came, and the rules alone have to do."""

Standing = Callable[[Sequence[Memory]], Awaitable[Collection[int]]]
"""The ids of those memories that may be told now."""

_ATTEMPTS: Final = 5
"""Times that a refresh begins anew because another one was faster."""


class PageMoved(BadInput):
    """The page has changed since it was read."""

    http_status = 412


class MentalModels:
    """All pages. Reading makes nothing; a bank without a page has an empty one."""

    def __init__(self, memories: Memories) -> None:
        self._memories = memories

    async def page(
        self, project: str, team: str, version: int | None = None, *, standing: Standing | None = None
    ) -> Page:
        """A team's page as it is now, or one of its versions. Raises NotFound for one that is not there.

        Of the page as it is now, what does not hold any more is left out, and what is not `standing`.
        """
        async with self._memories.db.pool.connection() as connection:
            given = {"project": project, "team": team, "version": version}
            row = await (await connection.execute(queries.PAGE, given)).fetchone()
            if row is None or row["version"] is None:
                if version is not None:
                    raise NotFound(
                        f"The mental model of {team!a} in {project!a} has no version {version}",
                        todo=f"`factory memory models {project} {team} --versions` lists them",
                    )
                return Page(project, team)
            page = page_of(project, team, row)
            known = Known(await memories_of(connection, sources_of(page.lines), row["home"]))
        if version is not None:
            return replace(page, lines=tuple(_masked(line, known) for line in page.lines))
        return await _holding(page, known, standing)

    async def look(
        self, project: str, team: str, names: Sequence[str]
    ) -> tuple[list[tuple[Bank, State]], Page]:
        """Those of the banks that are there, in the order of their names, with what there is of each; and the
        team's page as it was written: what of it holds, `holding` says."""
        async with self._memories.db.pool.connection() as connection:
            given = {"project": project, "team": team, "names": list(names)}
            found = await (await connection.execute(queries.LOOK, given)).fetchall()
        written = next((row for row in found if row["version"] is not None), None)
        page = Page(project, team) if written is None else page_of(project, team, written)
        return self._memories.seen(project, names, found), page

    async def holding(self, page: Page, found: Mapping[int, Memory], standing: Standing) -> Page:
        """What of a page holds; `found` is what is known already of what its lines are from."""
        others = sources_of(page.lines) - found.keys()
        if others:
            async with self._memories.db.pool.connection() as connection:
                found = {**found, **await memories_of(connection, others)}
        return await _holding(page, Known(found), standing)

    async def versions(self, project: str, team: str) -> list[Page]:
        """All versions of a page, the oldest first, each as it was but for what is forgotten."""
        async with self._memories.db.pool.connection() as connection:
            bank = await home_of(connection, project, team)
            if bank is None:
                return []
            found = await (await connection.execute(queries.VERSIONS, {"bank": bank})).fetchall()
            pages = [page_of(project, team, row) for row in found]
            known = Known(
                await memories_of(connection, {one for page in pages for one in sources_of(page.lines)}, bank)
            )
        return [replace(page, lines=tuple(_masked(line, known) for line in page.lines)) for page in pages]

    async def all(self, project: str | None = None) -> list[Page]:
        """The newest version of each page of a project, or of all."""
        async with self._memories.db.pool.connection() as connection:
            found = await (await connection.execute(queries.NEWEST, {"project": project})).fetchall()
        return [page_of(row["project"], row["name"], row) for row in found]

    async def refresh(self, project: str, team: str, *, key: str, editor: Editor | None = None) -> Page:
        """Bring a page up to what its bank says now: a new version, unless nothing of it changes.

        The same `key` again gives the version that it gave the first time. An `editor` proposes edits, which
        are held against the memories they name; without one, or where it fails, the rules alone decide.
        """
        for attempt in range(_ATTEMPTS):
            async with self._memories.db.pool.connection() as connection:
                given = {"project": project, "team": team, "key": key}
                found = await (await connection.execute(queries.STATE, given)).fetchall()
                if not found:
                    return Page(project, team)
                done = next((row for row in found if row["key"] == key), None)
                if done is not None:
                    return page_of(project, team, done)
                newest = found[-1]
                bank, seen = int(newest["home"]), int(newest["last"])
                old = Page(project, team) if newest["version"] is None else page_of(project, team, newest)
                known = await known_of(connection, self._memories, old, seen)
            # A model is asked once: who loses a race is content with the rules.
            lines, way = await _next(old, known, editor if attempt == 0 else None)
            if lines == old.lines:
                await self._seen(bank, old, seen)
                return old
            new = Page(project, team, old.version + 1, clock.now(), FACTORY, way, lines, seen, key)
            if await self._keep(bank, new, key):
                return new
        raise PageMoved(
            f"The mental model of {team} in {project} kept changing", untouched="It was not refreshed"
        )

    async def edit(self, project: str, team: str, text: str, *, based_on: int, by: str) -> Page:
        """Put a page in the place of version `based_on`: what `by` wrote in it is theirs and stays.

        Raises PageMoved, PageRefused.
        """
        bank = await self._memories.bank(project, team)
        current = await self.page(project, team)
        if current.version != based_on:
            raise PageMoved(
                f"The page is at version {current.version}, and yours began from version {based_on}",
                untouched="The page is as it was",
                todo=f"Look at what changed: factory memory models {project} {team} --diff; "
                f"--based-on {current.version} puts yours in its place all the same",
            )
        lines = edited(current, text, by)
        if lines == current.lines:
            return current
        new = Page(project, team, based_on + 1, clock.now(), by, "person", lines, current.seen)
        if not await self._keep(bank.id, new, clock.new_id("edit")):
            raise PageMoved(
                "Another edit was faster",
                untouched="The page is as the other left it",
                todo=f"Look at what it changed: factory memory models {project} {team} --diff",
            )
        return new

    async def _seen(self, bank: int, page: Page, seen: int) -> None:
        if page.version and seen > page.seen:
            async with self._memories.db.pool.connection() as connection:
                given = {"bank": bank, "version": page.version, "seen": seen}
                await connection.execute(queries.SEEN, given)

    async def _keep(self, bank: int, page: Page, key: str) -> bool:
        """Whether this became the page's next version; not where another was there first."""
        lines = [
            {"text": line.text, "by": line.by, "sources": list(line.sources), "forgotten": line.forgotten}
            for line in page.lines
        ]
        given: dict[str, Any] = {
            "bank": bank,
            "version": page.version,
            "at": page.at,
            "by": page.by,
            "way": page.way,
            "key": key,
            "seen": page.seen,
            "lines": Jsonb(lines),
        }
        async with self._memories.db.pool.connection() as connection:
            return await (await connection.execute(queries.INSERT, given)).fetchone() is not None


async def _holding(page: Page, known: Known, standing: Standing | None) -> Page:
    """Without what does not hold any more, or is not `standing`."""
    stands = set(known.memories)
    if standing is not None:
        stands = set(await standing(list(known.memories.values())))
    kept = tuple(
        line
        for line in page.lines
        if line.text and known.holds(line) and (line.by != FACTORY or stands >= set(line.sources))
    )
    withheld = sum(bool(line.text) for line in page.lines) - len(kept)
    return replace(page, lines=kept, withheld=withheld)


async def _next(old: Page, known: Known, editor: Editor | None) -> tuple[tuple[Line, ...], Way]:
    """The lines of the next version, and who made them."""
    standing = tuple(line for line in old.lines if not line.forgotten)
    settled = digested(standing, Known(known.memories))
    # A page that says nothing yet is begun by the rules: a model edits, it does not invent.
    if editor is not None and known.changed and any(line.by == FACTORY for line in settled):
        proposed = await editor(settled, known)
        if proposed is not None:
            lines, refused = applied(settled, proposed, known)
            if len(refused) < len(proposed) or not proposed:
                return lines, "model"
    return digested(standing, known), "digest"


def _masked(line: Line, known: Known) -> Line:
    """The line as an old version shows it: without what was forgotten since."""
    found = (known.memories.get(one) for one in line.sources)
    gone = any(memory is not None and memory.forgotten_at is not None for memory in found)
    return replace(line, text="", forgotten=True) if gone else line
