"""What enters the bank that all teams of a project read: only what two teams bear out, or a person says.

Two teams bear out the same thing where both say it in the same words, or where one declares an interface
and the work of another uses it. Repeating what was recalled is no evidence; retain leaves that out before
it comes here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from core import clock
from core.errors import BadInput
from memory import rows
from memory.adding import as_kept
from memory.extraction.echoes import mark
from memory.lineage import queries
from memory.lineage.taking_back import PERSON
from memory.records import SHARED, Added, Draft, Kind, Memory
from memory.service import Memories
from memory.words import digest

_DECLARED: Final = ("interface:", "table:")
_USED: Final = "use:"


class NotShareable(BadInput):
    """A memory cannot be shared among the teams."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Something that one team bears out now."""

    memory: int
    draft: Draft


async def promote_borne_out(
    memories: Memories, project: str, team: str, given: Sequence[Evidence], *, key: str
) -> list[Added]:
    """Share what this team's evidence bears out together with what another team has said before."""
    said = [one for one in given if one.draft.kind in {Kind.FACT, Kind.DECISION}]
    claims = [replace(one, draft=as_kept(one.draft)) for one in said]
    wanted = {one.memory: _sought(one.draft.subject) for one in claims}
    digests = {digest(one.draft.text): one for one in claims}
    if not claims:
        return []
    async with memories.db.pool.connection() as connection:
        found = await (await connection.execute(queries.BANKS_OF, {"project": project})).fetchall()
        others = [row["id"] for row in found if row["name"] not in {team, SHARED}]
        if not others:
            return []
        subjects = sorted({subject for sought in wanted.values() for subject in sought})
        asked = {"subjects": subjects, "digests": list(digests)}
        matches = await (await connection.execute(queries.evidence(others), asked)).fetchall()
    drafts: dict[str, Draft] = {}
    for row in matches:
        theirs = rows.memory(row)
        if theirs.speaker in {team, PERSON}:
            continue
        ours = digests.get(bytes(row["digest"]))
        for one in [ours] if ours else [one for one in claims if theirs.subject in wanted[one.memory]]:
            shared = _shared(one, theirs)
            if shared is not None:
                drafts.setdefault(shared.text, shared)
    if not drafts:
        return []
    return await (await memories.bank(project, SHARED)).add(list(drafts.values()), key=key)


async def promote(memories: Memories, project: str, memory: int, *, by: str) -> Added:
    """Share one memory because a person says so. Raises NotShareable, NotFound."""
    known = await memories.get(memory)
    if known.forgotten_at is not None:
        raise NotShareable(f"{mark(memory)} is forgotten", untouched="Nothing was shared")
    if known.valid_to is not None:
        raise NotShareable(
            f"{mark(memory)} does not hold any more",
            untouched="Nothing was shared",
            todo="Share the one that took its place",
        )
    draft = _copy(known, (memory,))
    # Said a second time, it is a duplicate; what was taken back meanwhile is shared anew.
    key = clock.new_id(f"promoted/{memory}/{by}/")
    return (await (await memories.bank(project, SHARED)).add([draft], key=key))[0]


def _sought(subject: str | None) -> tuple[str, ...]:
    """What another team would have to say, so that the two bear each other out."""
    if subject is None:
        return ()
    if subject.startswith(_USED):
        return (subject.replace(_USED, _DECLARED[0], 1),)
    if subject.startswith(_DECLARED[0]):
        return (subject, subject.replace(_DECLARED[0], _USED, 1))
    return (subject,) if subject.startswith(_DECLARED) else ()


def _shared(ours: Evidence, theirs: Memory) -> Draft | None:
    """The claim that both bear out, as the one who declares it words it; None where nobody declares it."""
    both = (theirs.id, ours.memory)
    if theirs.subject is None or not theirs.subject.startswith(_USED):
        return _copy(theirs, both)
    if ours.draft.subject is None or ours.draft.subject.startswith(_USED):
        return None
    return replace(ours.draft, at=clock.now(), valid_from=None, derived_from=both)


def _copy(known: Memory, derived_from: tuple[int, ...]) -> Draft:
    return Draft(
        text=known.text,
        kind=known.kind,
        source=known.source,
        speaker=known.speaker,
        session=known.session,
        at=clock.now(),
        subject=known.subject,
        derived_from=derived_from,
    )
