"""What a secret looks like: the one list, for logs, events, traces and memory alike.

What has the form of a key is one. What somebody merely says is a password may be one, or a word of the wish
("the admin's password is admin1234"), without which the wish is another one: that is masked in copies alone.

Each shape begins with a word that is looked for first, in the text's small letters: most texts have none of
them, and that is found out in a fraction of the time that it takes to look for shapes. What may fail after a
long look has a bound: a hostile text must not make this quadratic.
"""

from __future__ import annotations

import re
from itertools import product
from typing import Final

MASK: Final = "[redacted]"

_SHORTEST: Final = 8
"""Characters of what may hold a secret."""

_KEYS: Final = {
    "sk-": r"(?=[a-z_-]{0,60}[0-9])[a-z0-9_-]{16,}",  # OpenAI, Anthropic, Langfuse
    **dict.fromkeys(("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "hf_"), r"[a-z0-9]{20,}"),
    "github_pat_": r"[a-z0-9_]{20,}",
    "glpat-": r"[a-z0-9_-]{16,}",
    "xox": r"[abeoprs]-[a-z0-9-]{10,}",
    **dict.fromkeys(("akia", "asia"), r"[0-9a-z]{16}"),
    "aiza": r"[a-z0-9_-]{30,}",
    "ya29.": r"[a-z0-9_-]{20,}",  # Google, as well
    **dict.fromkeys(("fct_", "fcr_"), r"[a-z0-9]{49}"),  # our own (governance/access/credentials.py)
    "eyj": r"[a-z0-9_-]{8,600}\.eyj[a-z0-9_-]{8,4000}\.[a-z0-9_-]{8,}",
    **dict.fromkeys(
        (f"{kind}k_{mode}_" for kind, mode in product("srp", ("live", "test"))), r"[a-z0-9]{16,}"
    ),  # Stripe
    "whsec_": r"[a-z0-9+/=]{20,}",
    "npm_": r"[a-z0-9]{30,}",
    "pypi-": r"(?=[a-z_-]{0,60}[0-9])[a-z0-9_-]{40,}",
    "sg.": r"[a-z0-9_-]{16,64}\.[a-z0-9_-]{16,64}",  # SendGrid
    "dckr_pat_": r"[a-z0-9_-]{20,}",
    "age-secret-key-": r"1[0-9a-z]{50,}",
}
"""Keys by their first letters, before which no letter or digit stands."""

_QUOTE: Final = r"(?:\\{0,3}[\"'`])?"
_VALUE: Final = (
    rf"\s{{0,3}}{_QUOTE}(?=[^\s\"'`]{{0,200}}\d)(?=[^\s\"'`]{{0,200}}[a-z])"
    r"(?P<secret>[\w+/=.~!@#$%^&*-]{8,}+)(?![(\[])"
)
"""Of letters and digits, as a password or a key mostly is."""

_AROUND: Final = {
    "-----begin ": r"[a-z ]*private key(?: block)?-----.*?(?:-----end [a-z ]*private key(?: block)?-----|\Z)",
    "bearer ": r"(?<!\w.{7})[ ]*(?P<secret>[a-z0-9._~+/=-]{8,})",
    "://": r"[^\s/:@]{0,200}:(?P<secret>[^\s/@]{1,400})(?=@)",
    "password=": r"(?<!\w.{9})(?P<secret>'[^']*'|[^\s'\"&]+)",
    "authorization: basic": _VALUE,
}
"""What is told by the words around it, as programs write them."""

_SAID: Final = {
    **dict.fromkeys(
        (
            "secret",
            "token",
            "accountkey",
            *("".join(each) for each in product(("api", "access", "private"), ("", " ", "_", "-"), ("key",))),
        ),
        rf"{_QUOTE}\s{{0,3}}[:=]{_VALUE}",
    ),
    **dict.fromkeys(
        ("password", "passwd", "passphrase", "wachtwoord", "รหัสผ่าน"),
        rf"{_QUOTE}\s{{0,3}}(?:[:=]|is\b){_VALUE}",
    ),
}
"""What somebody says is a password, a key or a token."""

_SURE: Final = {
    **{
        first: re.compile(rf"{re.escape(first)}(?<![a-z0-9].{{{len(first)}}}){rest}")
        for first, rest in _KEYS.items()
    },
    **{first: re.compile(re.escape(first) + rest, re.DOTALL) for first, rest in _AROUND.items()},
}
_ALL: Final = _SURE | {first: re.compile(re.escape(first) + rest) for first, rest in _SAID.items()}


def masked(text: str, *, copy: bool) -> str:
    """The text with a mask in the place of everything that has the shape of a secret; in a `copy`, also of
    what somebody says is one."""
    if len(text) < _SHORTEST:
        return text
    lowered = _lowered(text)
    for first, shape in (_ALL if copy else _SURE).items():
        if first in lowered:
            text, lowered = _without(shape, text, lowered)
    return text


def _without(shape: re.Pattern[str], text: str, lowered: str) -> tuple[str, str]:
    pieces: list[tuple[int, int]] = []
    for match in shape.finditer(lowered):
        pieces.append(match.span("secret" if "secret" in shape.groupindex else 0))
    if not pieces:
        return text, lowered
    return _cut(text, pieces), _cut(lowered, pieces)


def _cut(text: str, spans: list[tuple[int, int]]) -> str:
    pieces: list[str] = []
    done = 0
    for start, end in spans:
        pieces += [text[done:start], MASK]
        done = end
    return "".join([*pieces, text[done:]])


def _lowered(text: str) -> str:
    """The text in small letters, each in its place: of a few, the small form has two characters."""
    lowered = text.lower()
    if len(lowered) == len(text):
        return lowered
    return "".join(small if len(small := char.lower()) == 1 else char for char in text)
