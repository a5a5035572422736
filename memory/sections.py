"""What of a brief's sections fits beside its anchor: each gets its share, in whole lines. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a brief that may be shortened: all that is left out of it can be had otherwise."""

    text: str
    """Lines, the heading first; what matters most comes next."""
    more: str
    """Where the rest can be had, for the line that takes its place."""
    newest_last: bool = False
    """Whether its last lines matter most, as in a history."""


def size(text: str) -> int:
    """UTF-8 bytes, with a line end."""
    return len(text.encode("utf-8", "replace")) + 1


def fitted(sections: Sequence[Section], room: int) -> list[str]:
    """The sections in at most `room` bytes: what takes less than its share leaves it to the others."""
    shares = _shares([size(section.text) for section in sections], max(0, room))
    return [_cut(section, share) for section, share in zip(sections, shares, strict=True)]


def _shares(sizes: Sequence[int], room: int) -> list[int]:
    shares = [0] * len(sizes)
    order = sorted(range(len(sizes)), key=lambda place: sizes[place])
    for done, place in enumerate(order):
        shares[place] = min(sizes[place], room // (len(sizes) - done))
        room -= shares[place]
    return shares


def _cut(section: Section, share: int) -> str:
    if size(section.text) <= share or not section.text:
        return section.text
    heading, *lines = section.text.split("\n")
    told = f"… {len(lines)} lines are left out here: {section.more}"  # as long as the line will be at most
    left = share - size(heading) - size(told)
    kept: list[str] = []
    for line in reversed(lines) if section.newest_last else lines:
        left -= size(line)
        if left < 0:
            break
        kept.append(line)
    if not kept:
        return told if size(told) <= share else ""
    told = f"… {len(lines) - len(kept)} lines are left out here: {section.more}"
    return "\n".join([heading, told, *reversed(kept)] if section.newest_last else [heading, *kept, told])
