"""The door of memory: secrets and personal data are masked before anything is kept.

What is a secret, core/secret_shapes.py says, for all that the factory writes. What is found by its shape is
masked; a name in a sentence has none, and stays. A check digit decides where there is one, so that an order
number is not taken for a card.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from core.folding import folded
from core.redaction import redact_copy

_EDGE: Final = r"(?<![\w.+-])"
# Everything that may fail after a long look has a bound: a hostile text must not make this quadratic.
_MAIL: Final = re.compile(
    _EDGE + r"[\w.!#$%&'*+/=?^`{|}~-]{1,64}@(?:[\w-]{1,63}\.){1,8}[^\W\d_][\w-]{1,23}(?![\w-])"
)
_CARD: Final = re.compile(r"(?<![\w.-])(?:\d(?:[ -]?\d){11,18}|\d{4}(?:\.\d{4}){3})(?![\w-])")
_IBAN: Final = re.compile(
    r"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?:[ -]?[A-Z0-9]{1,4}){3,8}(?![A-Za-z0-9])", re.IGNORECASE
)
_PHONE: Final = re.compile(
    r"(?:(?<![\w./-])(?:"
    r"\+\d{1,3}(?:[ .()-]{0,3}\d){7,12}"  # with the code of a country
    r"|00[1-9]\d{0,2}[ -]\d{1,3}[ -]\d{6,9}"  # 0031 6 12345678
    r")|(?:(?<=tel:)|(?<![\w.:/-]))(?:"
    r"\(0\d{1,4}\)(?:[ .-]?\d){6,8}"  # (020) 123 4567
    r"|0\d{1,3}(?:[ -]\d{2,4}){2,4}"  # 081 234 5678, 06-12 34 56 78
    r"|0[1-9]\d{0,2}[ -]\d{6,8}"  # 06-12345678
    r"|0[1-9](?:\.\d{2}){4}"  # 01.23.45.67.89
    r"|0[1-9]\d{8}"  # 0612345678
    r"))(?![\w:/]|[.-]\d)"
)
_LEAST_PHONE: Final = 9
_MOST_PHONE: Final = 15
"""Digits of a telephone number: ITU-T E.164 has at most fifteen."""


@dataclass(frozen=True, slots=True)
class Screened:
    """A text that may be kept."""

    text: str
    found: tuple[str, ...]
    """What was masked in it: `secret`, `mail`, `card`, `iban`, `phone`; each once."""


def screen(text: str) -> Screened:
    """The text without secrets and personal data that have a shape, in whatever digits and widths."""
    found: list[str] = []
    plain = redact_copy(text)
    if plain != text:
        found.append("secret")
    for name, pattern, meant in _KINDS:
        masked = _without(plain, pattern, name, meant)
        if masked != plain:
            found.append(name)
            plain = masked
    return Screened(plain, tuple(found))


def _without(text: str, pattern: re.Pattern[str], name: str, meant: Callable[[str], bool]) -> str:
    """The text with a mask in the place of what is found and meant."""
    places = None if text.isascii() else _folded(text)
    read = text if places is None else "".join(char for char, _ in places)
    pieces: list[str] = []
    done = 0
    for match in pattern.finditer(read):
        start, end = match.span()
        if not meant(read[start:end]):
            continue
        if places is not None:
            start, end = places[start][1], places[end - 1][1] + 1
        pieces += [text[done:start], f"[{name}]"]
        done = end
    return "".join([*pieces, text[done:]])


def _folded(text: str) -> list[tuple[str, int]]:
    """The characters as the patterns know them, each with its place."""
    return [(char, place) for place, one in enumerate(text) if (char := one if one < "\x80" else folded(one))]


def _digits(text: str) -> str:
    return "".join(char for char in text if char.isdigit())


def _always(_: str) -> bool:
    return True


def _is_card(text: str) -> bool:
    """Luhn's check digit, which one number in ten passes by chance, and the first digit of a payment card."""
    digits = _digits(text)
    if not 12 <= len(digits) <= 19 or digits[0] not in "23456":
        return False
    doubled = (int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(digits)))
    return sum(number - 9 if number > 9 else number for number in doubled) % 10 == 0


def _is_iban(text: str) -> bool:
    """The remainder of ISO 13616."""
    plain = text.replace(" ", "").replace("-", "")
    if not 15 <= len(plain) <= 34:
        return False
    return int("".join(str(int(char, 36)) for char in plain[4:] + plain[:4])) % 97 == 1


def _is_phone(text: str) -> bool:
    return _LEAST_PHONE <= len(_digits(text)) <= _MOST_PHONE


_KINDS: Final[tuple[tuple[str, re.Pattern[str], Callable[[str], bool]], ...]] = (
    ("mail", _MAIL, _always),
    ("card", _CARD, _is_card),
    ("iban", _IBAN, _is_iban),
    ("phone", _PHONE, _is_phone),
)
