"""Which teams a change concerns: rules over its text, the files it names, and what the project holds.

Pure functions from facts to a verdict with its reason; `survey` gathers the facts. A team is concerned where
the text names a file of its own or has one of its words, where a file of its own speaks of what the change
is about, or where it looks at the work of a team that is concerned.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from teams import globs
from teams.team import Team

MOST_TERMS: Final = 12
"""Words of a text that are looked for in the project's files."""
MOST_CRITERIA: Final = 12
MOST_CRITERION_CHARS: Final = 300
_SHOWN: Final = 3

_FENCE = re.compile(r"(`{3,}|~{3,})(.*)", re.S)
_ACTION = re.compile(r"(?:write|edit)[ \t]+(\S+)")
_PATH = re.compile(r"(?<![\w./:-])(?:[\w.-]+/)*[\w.-]*[\w-](?![\w/-])")
_COMMON: Final = frozenset(
    (  # noqa: SIM905
        "a able about add added adds after again all allow allows also an and any are as at be "
        "because been before being but by can change changed changes column columns could create "
        "delete do does each every field fields file files for from get give gives had has have he "
        "her his how if in instead into is it its let like list lists make makes many may more most "
        "must need needs new no not now number of off on one only optional or other our out over "
        "people person please property put remove rename replace same set shall she should show "
        "shows so some such support than that the their them then there these they this those to "
        "too two under up update upper use used user users want wanted was way we were what when "
        "where which who will with without words would write you your "
    ).split()
)
"""Words that say nothing of what a change is about."""


@dataclass(frozen=True, slots=True)
class Touch:
    """Why a change concerns a team."""

    reason: str
    sure: bool
    """Whether the text itself says so; what a word in a file suggests, a planner may overrule."""


@lru_cache(maxsize=8)  # every word of every team is looked for in the same text
def prose(text: str) -> str:
    """The text without its fenced blocks."""
    return _read(text)[0]


def _read(text: str) -> tuple[str, list[str]]:
    """The text without its fenced blocks, and their info strings. A block that is never closed is prose."""
    lines = text.split("\n")
    ends: dict[str, list[int]] = {}
    for number, line in enumerate(lines):
        mark = line.rstrip(" \t\r")
        if (fence := _FENCE.fullmatch(mark)) and not fence[2]:
            ends.setdefault(mark, []).append(number)
    kept: list[str] = []
    infos: list[str] = []
    number = 0
    while number < len(lines):
        fence = _FENCE.fullmatch(lines[number])
        closing = ends.get(fence[1], []) if fence else []
        end = bisect_right(closing, number)
        if fence and end < len(closing):
            infos.append(fence[2].strip())
            kept.append("")
            number = closing[end]
        else:
            kept.append(lines[number])
        number += 1
    return "\n".join(kept), infos


def named_files(text: str, files: Iterable[str]) -> list[str]:
    """The files that a text names: by their path, by a file name that is there once, or in a block.

    A block that writes may name one that is new.
    """
    there = set(files)
    by_name: dict[str, list[str]] = {}
    for path in there:
        by_name.setdefault(path.rpartition("/")[2], []).append(path)
    found = dict.fromkeys(
        path
        for info in _read(text)[1]
        if (action := _ACTION.match(info)) and not globs.problem(path := action[1].removeprefix("./"))
    )
    for word in _PATH.findall(prose(text)):
        path = word.strip(".").removeprefix("./")
        if path in there:
            found[path] = None
        elif "." in path and len(by_name.get(path, ())) == 1:
            found[by_name[path][0]] = None
    return list(found)


def terms(text: str) -> list[str]:
    """What a text is about: its words that are not common ones, longest first, at most MOST_TERMS."""
    words = dict.fromkeys(re.findall(r"[A-Za-z_][A-Za-z0-9_]{2,}", prose(text)))
    telling = [word for word in words if word.lower() not in _COMMON]
    return sorted(telling, key=len, reverse=True)[:MOST_TERMS]


def spellings(term: str) -> list[str]:
    """A term as files may write it: as one and as many."""
    low = term.lower()
    one = low[:-1] if low.endswith("s") and not low.endswith("ss") and len(low) > 3 else low
    return list(dict.fromkeys((low, one, f"{one}s")))


def owner(path: str, teams: Sequence[Team], *, adopting: bool = True) -> Team | None:
    """Whose file it is: of the teams that may write it the one with the closest glob, the first of equals.

    `adopting`: where no team's paths mean it, who takes it on in a repository that is laid out otherwise.
    """
    own = [(glob, team) for team in teams for glob in team.paths if globs.matches(glob, path)]
    if not own and adopting:
        own = [(glob, team) for team in teams for glob in team.change.adopts if globs.matches(glob, path)]
    return max(own, key=lambda pair: _closeness(pair[0]))[1] if own else None


def adopted(files: Iterable[str], named: Iterable[str], teams: Sequence[Team]) -> dict[str, list[str]]:
    """What each team may write beyond its own paths: what is there, or named, and no team's paths mean.

    As globs below the top-level folder in which such a file lies; at the top, and for a file that is still to
    be, as the path itself.
    """
    given: dict[str, dict[str, None]] = {}
    loose = [path for path in dict.fromkeys([*files, *named]) if owner(path, teams, adopting=False) is None]
    for path in loose:
        team = owner(path, teams)
        if team is None or globs.problem(path):
            continue
        folder, inside, _ = path.partition("/")
        glob = max((g for g in team.change.adopts if globs.matches(g, path)), key=_closeness)
        whole = f"{folder}/{glob}" if inside and glob.startswith("**/") else path
        given.setdefault(team.id, {})[whole] = None
    return {team: list(paths) for team, paths in given.items()}


def touched(
    text: str,
    teams: Sequence[Team],
    named: Sequence[str],
    mentions: Mapping[str, Sequence[str]],
) -> dict[str, Touch]:
    """The teams that a change concerns, and why. `mentions`: the files that speak of each term."""
    found: dict[str, Touch] = {}
    for path in named:
        if (team := owner(path, teams)) and team.id not in found:
            found[team.id] = Touch(f"the change names {path}", sure=True)
    for team in teams:
        word = next((w for w in (*team.skip_unless, *team.change.words) if _has(text, w)), None)
        if team.id not in found and word:
            found[team.id] = Touch(f"the change speaks of “{word}”", sure=True)
    for term, paths in mentions.items():
        for path in paths:
            team = owner(path, teams)
            if team and team.change.mentions and team.id not in found:
                found[team.id] = Touch(f"{path} speaks of “{term}”", sure=False)
    _follow(found, teams)
    return {team.id: found[team.id] for team in teams if team.id in found}


def untouched(team: Team, files: Iterable[str], about: Sequence[str]) -> str:
    """Why a change does not concern a team, in words."""
    own = sum(1 for path in files if globs.any_matches(team.paths, path))
    has = "the project has no file of its own" if not own else "no file of its own is named"
    if own and team.change.mentions and about:
        has += f" or speaks of {', '.join(about[:_SHOWN])}"
    return f"the change has none of its words, and {has}"


def criteria(text: str) -> list[str]:
    """What the text asks for, sentence by sentence, as far as it is prose."""
    lines = [re.sub(r"^\s*(?:[-*#>]+|\d+[.)])\s*", "", line) for line in prose(text).splitlines()]
    paragraphs = re.split(r"\n\s*\n", "\n".join(lines))
    sentences = (s for p in paragraphs for s in re.split(r"(?<=[.!?;])\s+", " ".join(p.split())))
    told = [sentence[:MOST_CRITERION_CHARS] for sentence in sentences if re.search(r"\w", sentence)]
    return told[:MOST_CRITERIA]


def _follow(found: dict[str, Touch], teams: Sequence[Team]) -> None:
    grown = True
    while grown:
        grown = False
        for team in teams:
            leader = next((other for other in team.change.follows if other in found), None)
            if team.id not in found and leader:
                found[team.id] = Touch(f"it looks at the work of {leader}", sure=True)
                grown = True


def _has(text: str, word: str) -> bool:
    return re.search(rf"\b{re.escape(word)}(?:s|es|ed|ing|er)?\b", prose(text), re.I) is not None


def _closeness(glob: str) -> tuple[int, int]:
    """How narrowly a glob says where: the letters before its first wildcard, then all of them."""
    return len(re.split(r"[*?]", glob)[0]), len(re.sub(r"[*?]", "", glob))
