"""Keys, tokens and passwords in files. Says where one stands, never what it is."""

import hashlib
import math
import re
from collections import Counter
from collections.abc import Iterator

from workspace.checks.result import Finding, Findings
from workspace.errors import FileMissing, FileTooBig, PathRefused
from workspace.files import LARGEST, Files

_SHAPES: dict[str, re.Pattern[str]] = {
    "a private key": re.compile(r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY(?: BLOCK)?-----"),
    "an AWS access key": re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    "a GitHub token": re.compile(r"\b(?:gh[pousr]_[0-9A-Za-z]{36,}|github_pat_\w{30,})"),
    "a GitLab token": re.compile(r"\bglpat-[\w-]{20,}"),
    "a Slack token": re.compile(r"\bxox[abeoprs]-[\w-]{10,}|hooks\.slack\.com/services/T\w+/B\w+/\w+"),
    "a Google key": re.compile(r"\bAIza[\w-]{35}\b"),
    "a Stripe key": re.compile(r"\b[rs]k_live_[0-9A-Za-z]{16,}"),
    "a model provider's key": re.compile(r"\bsk-(?:ant-|proj-|or-)?[\w-]{24,}"),
    "a PyPI or npm token": re.compile(r"\b(?:pypi-AgE[\w-]{50,}|npm_[0-9A-Za-z]{36})\b"),
    "a token of the factory": re.compile(r"\bfc[tr]_[0-9A-Za-z]{49}\b"),
    "a signed token": re.compile(r"\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}"),
}
_IN_ADDRESS = re.compile(r"\b[a-z][a-z0-9+.-]*://[^\s:/@'\"]+:([^\s/@'\"]+)@", re.IGNORECASE)
_ASSIGNED = re.compile(
    r"""(?:password|passwd|pwd|secret|token|api_?key|access_?key|private_?key|credential)s?\w*["']?\s*
        (?:[:=]|:=|=>)\s*["']([^"'\s]{8,})["']""",
    re.IGNORECASE | re.VERBOSE,
)
_QUOTED = re.compile(r"""["'`]([A-Za-z0-9+/=_-]{32,200})["'`]""")
_PLACEHOLDER = re.compile(
    r"example|change|dummy|fake|sample|test|placeholder|your|todo|none|null|redacted|secret|password|passwd|"
    r"postgres|local|user|factory|token|key|\.{3}|x{4}|\*{3}|^\W|[<>{}$%\[\]()]",
    re.IGNORECASE,
)
_LOCKS = re.compile(r"(^|/)(.*\.lock|.*-lock\.json|.*requirements.*\.txt|.*\.svg|.*\.min\.\w+)$")
_LARGEST = 32_000_000
"""Bytes of a file that are looked at."""
_ALPHABET_BITS = 4.5
_PART = 5_000
_OVERLAP = 500
"""Longer than what a pattern needs to see of a secret."""


def look(files: Files) -> Findings:
    """The places that hold a secret, in files of any encoding and size; what cannot be looked at is named."""
    problems: list[Finding] = []
    for path in files.list():
        try:
            content = files.read_bytes(path, limit=_LARGEST)
        except FileTooBig as error:
            problems.append(Finding(path, 1, f"not looked at for secrets: {error.what}", mark="too big"))
            continue
        except (FileMissing, PathRefused):
            continue
        problems += [
            Finding(path, number, what, mark=mark) for number, what, mark in _in_content(content, path)
        ]
    return Findings(problems, "no secrets found", each=34)


def _in_content(content: bytes, path: str) -> Iterator[tuple[int, str, str]]:
    """Line, what stands there, and what tells it from others."""
    text, plain = _text(content)
    looked = _secret_in if plain and len(content) <= LARGEST else _shaped
    for number, line in enumerate(text.splitlines(), 1):
        if what := next((what for part in _parts(line) if (what := looked(part, path))), ""):
            yield number, what, _print(line)


def _text(content: bytes) -> tuple[str, bool]:
    """The content as text, and whether it is one: a key has its shape in the bytes of any other file too."""
    for encoding in ("utf-16",) if content[:2] in (b"\xff\xfe", b"\xfe\xff") else ("utf-8",):
        try:
            return content.decode(encoding), True
        except UnicodeDecodeError:
            break
    return content.decode("ascii", "replace"), b"\0" not in content


def _parts(line: str) -> Iterator[str]:
    """A line in parts that overlap: a pattern is slow on a long one, and all of it is looked at."""
    for at in range(0, max(1, len(line) - _OVERLAP), _PART - _OVERLAP):
        yield line[at : at + _PART]


def _print(line: str) -> str:
    """Tells one secret from another of its kind; it is compared and never shown."""
    return hashlib.sha256(line.strip().encode("utf-8", "replace")).hexdigest()


def _shaped(line: str, _path: str = "") -> str:
    return next((what for what, shape in _SHAPES.items() if shape.search(line)), "")


def _secret_in(line: str, path: str) -> str:
    if what := _shaped(line):
        return what
    for match in _IN_ADDRESS.finditer(line):
        if not _PLACEHOLDER.search(match[1]):
            return "a password in an address"
    for match in _ASSIGNED.finditer(line):
        if not _PLACEHOLDER.search(match[1]) and entropy(match[1]) > 2.5:
            return "a value that is named like a secret"
    if not _LOCKS.search(path):
        for match in _QUOTED.finditer(line):
            if _looks_random(match[1]):
                return "a long random string"
    return ""


def _looks_random(text: str) -> bool:
    kinds = (str.isupper, str.islower, str.isdigit)
    return all(any(kind(c) for c in text) for kind in kinds) and entropy(text) > _ALPHABET_BITS


def entropy(text: str) -> float:
    """Bits per character."""
    return -sum(n / len(text) * math.log2(n / len(text)) for n in Counter(text).values())
