"""Which paths a glob of a team file means.

A pattern is a relative path. `*` is any run of characters inside one segment (dots included), `?` one
character, and `**`, which must be a whole segment, any number of segments; at the end at least one, so that
`src/**` means everything under `src` and not `src` itself. There is nothing else: `[`, `{` and `!` are
refused rather than half understood. Without regular expressions, so that no pattern is ever slow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

_FORBIDDEN = "[]{}!\\"


def problem(pattern: str) -> str | None:
    """What is wrong with a pattern, in words for the person who wrote it; None when it is sound."""
    if not pattern or pattern != pattern.strip():
        return "is empty or has blanks at its ends"
    if any(character in _FORBIDDEN for character in pattern) or not pattern.isprintable():
        return "may contain only names, '/', '*', '**' and '?'"
    if pattern.startswith("/"):
        return "must be relative to the worktree"
    return _segment_problem(pattern.split("/"))


def _segment_problem(segments: Sequence[str]) -> str | None:
    for segment in segments:
        if segment in {"", ".", ".."}:
            return "must not contain empty, '.' or '..' segments"
        if "**" in segment and segment != "**":
            return "'**' must be a whole segment, as in 'src/**/*.py'"
        if segment.lower() == ".git":
            return "must not reach into '.git'"
    return None


def matches(pattern: str, path: str) -> bool:
    """Whether a relative, normal, POSIX path (no `.`, `..` or empty segment) is meant by a sound pattern."""
    segments = path.split("/")
    if any(segment in {"", ".", ".."} for segment in segments):
        return False
    parts = pattern.split("/")
    if parts[-1] == "**":
        parts = [*parts, "*"]
    return _wildcard(parts, segments, star="**", same=_segment_matches)


def any_matches(patterns: Iterable[str], path: str) -> bool:
    """Whether at least one of the patterns means the path."""
    return any(matches(pattern, path) for pattern in patterns)


def overlap(one: str, other: str) -> bool:
    """Whether there can be a path that both sound patterns mean."""
    parts = [pattern.split("/") for pattern in (one, other)]
    ended = [[*part, "*"] if part[-1] == "**" else part for part in parts]
    return _meet(ended[0], ended[1], star="**", same=_segments_meet)


def sample(pattern: str) -> str:
    """A path the pattern means, to ask whether another pattern covers it."""
    parts = [
        "a/b" if part == "**" else part.replace("*", "x").replace("?", "x") for part in pattern.split("/")
    ]
    return "/".join(parts)


def _segments_meet(one: str, other: str) -> bool:
    return _meet(one, other, star="*", same=lambda a, b: a == b or "?" in (a, b))


def _meet(one: Sequence[str], other: Sequence[str], *, star: str, same: Callable[[str, str], bool]) -> bool:
    """Whether two wildcard patterns have a text in common; by a table, so never slow."""
    meets = [[False] * (len(other) + 1) for _ in range(len(one) + 1)]
    meets[len(one)][len(other)] = True
    for i in range(len(one), -1, -1):
        for j in range(len(other), -1, -1):
            a = one[i] if i < len(one) else None
            b = other[j] if j < len(other) else None
            if a == star:
                meets[i][j] |= meets[i + 1][j] or (b is not None and meets[i][j + 1])
            if b == star:
                meets[i][j] |= meets[i][j + 1] or (a is not None and meets[i + 1][j])
            if a is not None and b is not None and star not in (a, b) and same(a, b):
                meets[i][j] |= meets[i + 1][j + 1]
    return meets[0][0]


def _segment_matches(pattern: str, segment: str) -> bool:
    return _wildcard(pattern, segment, star="*", same=lambda one, other: one in ("?", other))


def _wildcard(
    pattern: Sequence[str], items: Sequence[str], *, star: str, same: Callable[[str, str], bool]
) -> bool:
    """Greedy wildcard matching that steps back to the last star only: quadratic at worst."""
    at = item = 0
    last_star = -1
    resume = 0
    while item < len(items):
        if at < len(pattern) and pattern[at] == star:
            last_star, resume = at, item
            at += 1
        elif at < len(pattern) and same(pattern[at], items[item]):
            at += 1
            item += 1
        elif last_star >= 0:
            resume += 1
            at, item = last_star + 1, resume
        else:
            return False
    return all(part == star for part in pattern[at:])
