"""Characters as a reader takes them: of no other width, in our digits, and without those that are not seen.

A secret that was copied from a page may hold a space of no width, or letters of another width; whoever reads
it reads the same secret.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

# What `folded` changes and prose in another script has seldom: what is not seen, other widths, the letters of
# mathematics, and dashes within a word.
_STRANGE = re.compile(
    "[\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\uff01-\uff5e\U0001d400-\U0001d7ff"
    "\U000e0000-\U000e007f]|(?<=\\w)[\u2010-\u2015\u2212](?=\\w)"
)


@lru_cache(maxsize=4096)
def folded(char: str) -> str:
    """The character as a reader takes it; the empty string for one that is not seen."""
    if char.isdecimal():
        return str(unicodedata.decimal(char))
    kind = unicodedata.category(char)
    if kind == "Pd" or char == "\u2212":
        return "-"
    if kind == "Cf":
        return ""
    plain = unicodedata.normalize("NFKC", char)
    return plain if len(plain) == 1 else char


def as_read(text: str) -> str:
    """The text as a reader takes it; the same object where nothing in it is strange."""
    if text.isascii() or not _STRANGE.search(text):
        return text
    return "".join(char if char < "\x80" else folded(char) for char in text)
