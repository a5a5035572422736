"""A text as the words that search knows it by, in any script.

A change here changes what is stored in banks: their postings would have to be written anew.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Final
from zlib import crc32

from memory.stems import EMPTY, OPPOSED, STOP, singular, stem

K1: Final = 1.2
B: Final = 0.3
USUAL_LENGTH: Final = 20
"""Words of a usual memory, in place of the mean of the bank: so that what is stored of a memory does not
depend on the others."""

_LONGEST_WORD: Final = 64
_SHORT: Final = 1000
"""Characters of a text whose words are kept at hand."""
_MARKS: Final = "".join(
    f"\\u{code:04x}" for code in range(0x300, 0x1100) if unicodedata.category(chr(code)) in {"Mn", "Mc"}
)
# Scripts that write no space between words: Thai, Lao, Burmese, Khmer; Chinese and Japanese.
_UNSPACED: Final = (
    r"\u0e01-\u0e5b\u0e81-\u0edf\u1000-\u109f\u1780-\u17ff\u3041-\u30ff\u3400-\u9fff\uf900-\ufaff"
)
_TOKEN: Final = re.compile(
    f"(?P<unspaced>[{_UNSPACED}]+)|(?P<word>(?:(?![{_UNSPACED}])[^\\W_]|[{_MARKS}])+)|(?P<sign>[^\\w\\s])"
)
# Controls, and what has no width: joiners, marks of direction, selectors of variants, fillers, tags.
_UNSEEN: Final = re.compile(
    "[\\x00-\\x08\\x0e-\\x1b\\x7f-\\x84\\x86-\\x9f\\u00ad\\u034f\\u061c\\u115f\\u1160\\u17b4\\u17b5\\u180b-\\u180f"
    "\\u200b-\\u200f\\u202a-\\u202e\\u2060-\\u206f\\u3164\\ufe00-\\ufe0e\\ufeff\\uffa0\\ufff0-\\ufffb"
    "\\U0001bca0-\\U0001bca3\\U0001d173-\\U0001d17a\\U000e0000-\\U000e0fff]"
)
# In "1.5" and "10:30", "-5", "!ready", "C#"; and wherever they stand: signs of mathematics and of currencies.
_VALUED: Final = re.compile(
    r"(?<=\d)[.,:](?=\d)|(?<![^\W_])[-\u2212](?=\d)|!(?=[\w=])|(?<=\w)#|[%&^]|"
    + "["
    + "".join(
        f"\\U{code:08x}" for code in range(0x20, 0x2C00) if unicodedata.category(chr(code)) in {"Sm", "Sc"}
    )
    + "]"
)
_RAISED: Final = str.maketrans({char: f"^{digit}" for digit, char in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")})
"""10² is not 102."""
_HUMP: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


@dataclass(frozen=True, slots=True)
class Words:
    """What is indexed of a text."""

    impacts: dict[int, int]
    """How much each word counts, in thousandths, by its hash (32 bits, signed)."""
    length: int
    """Words, repeated ones each time."""


def clean(text: str) -> str:
    """The text as the database can hold it, of the same length: what it cannot hold becomes U+FFFD."""
    return "".join("\ufffd" if char == "\0" or "\ud800" <= char <= "\udfff" else char for char in text)


def seen(text: str) -> str:
    """The text on one line, without what is not shown: a model could be told there what no person sees."""
    return " ".join(_UNSEEN.sub("", text).split())


def normalised(text: str) -> str:
    """The text without what makes no difference: case, width, and how much space."""
    return " ".join(_folded(text).split())


def _folded(text: str) -> str:
    if text.isascii():
        return text.casefold()
    return unicodedata.normalize("NFKC", text.translate(_RAISED)).casefold()


def digest(text: str) -> bytes:
    """The same for texts that are the same once normalised."""
    return sha256(normalised(text).encode()).digest()


def gist(text: str) -> bytes:
    """The same for texts with the same words in the same order, but for endings, punctuation, empty words.

    Every number, every sign that is no punctuation and every other word counts: "at most 3" and "at most 5"
    contradict each other, and so do "C++" and "C#", "< 5" and "> 5".
    """
    words = [singular(token) for token in _tokens(_spelt(text)) if token not in EMPTY]
    return sha256(" ".join(words or [normalised(text)]).encode()).digest()


def values(text: str) -> frozenset[str]:
    """What of a text makes a contradiction of it where something else stands there: numbers, signs, and words
    such as "before" and "after"."""
    return frozenset(
        token for token in _tokens(_spelt(text)) if token in OPPOSED or any(char.isdigit() for char in token)
    )


def _spelt(text: str) -> str:
    """The text with the signs that tell one value from another as words of their own."""
    plain = _folded(text)
    return _VALUED.sub(lambda found: "".join(f" sign{ord(char):x} " for char in found[0]), plain)


def analyse(text: str) -> Words:
    """The words of a text, counted."""
    return _known(text) if len(text) <= _SHORT else _counted(text)


def _counted(text: str) -> Words:
    counts = Counter(_hash(stem(token)) for token in _tokens(text) if token not in STOP)
    length = counts.total()
    return Words({term: _impact(count, length) for term, count in sorted(counts.items())}, length)


_known: Final = lru_cache(maxsize=2000)(_counted)
"""Of short texts: a memory is read for each stage that is told it, and a claim for each check of it."""


def _impact(count: int, length: int) -> int:
    """BM25's part of a word in a memory, without the part of its rarity."""
    return round(1000 * count * (K1 + 1) / (count + K1 * (1 - B + B * length / USUAL_LENGTH)))


def _tokens(text: str) -> Iterator[str]:
    text = _HUMP.sub(" ", unicodedata.normalize("NFKC", text)).casefold()
    for found in _TOKEN.finditer(text):
        token = found[0]
        if found["unspaced"]:
            yield from _pieces(token)
        elif found["word"]:
            yield token[:_LONGEST_WORD]
        elif unicodedata.category(token) == "So":  # an emoji is a word
            yield token


def _pieces(run: str) -> Iterator[str]:
    """Pairs of letters: where no space tells words apart, every word is made of some."""
    if len(run) == 1:
        yield run
    for start in range(len(run) - 1):
        yield run[start : start + 2]


def _hash(word: str) -> int:
    number = crc32(word.encode())
    return number - (1 << 32) if number >> 31 else number


# What the search of the audit shares with the search of banks: how scripts tell words apart.
TOKEN: Final = _TOKEN
MARKS: Final = _MARKS
UNSPACED: Final = _UNSPACED
LONGEST_WORD: Final = _LONGEST_WORD
hashed: Final = _hash
