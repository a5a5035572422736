"""The stem of an English word: M. F. Porter, "An algorithm for suffix stripping", 1980, and irregular forms.

Measured on LoCoMo with BM25 (recall@10, all questions): 0.533 without stems or stop words, 0.594 with stop
words and plurals alone, 0.626 with Porter's stems, 0.632 with irregular forms too.
"""

from __future__ import annotations

import re
import tomllib
from functools import lru_cache
from importlib import resources
from typing import Any, Final

_ENGLISH: Final[dict[str, Any]] = tomllib.loads(
    resources.files("memory").joinpath("english.toml").read_text(encoding="utf-8")
)
STOP: Final = frozenset(str(_ENGLISH["stop"]).split())
EMPTY: Final = frozenset(str(_ENGLISH["empty"]).split())
OPPOSED: Final = frozenset(str(_ENGLISH["opposed"]).split())
_IRREGULAR: Final = {form: word for word, forms in _ENGLISH["forms"].items() for form in str(forms).split()}

# The paper's measure m counts the changes from vowels to consonants. y is a vowel after a consonant.
_V: Final = "[aeiouy]"
_CONSONANTS: Final = "[^aeiou][^aeiouy]*"
_VOWELS: Final = f"{_V}[aeiou]*"
_SYLLABLE: Final = re.compile(f"^({_CONSONANTS})?{_VOWELS}{_CONSONANTS}")  # m > 0
_ONE_SYLLABLE: Final = re.compile(f"^({_CONSONANTS})?{_VOWELS}{_CONSONANTS}({_VOWELS})?$")  # m = 1
_SYLLABLES: Final = re.compile(f"^({_CONSONANTS})?{_VOWELS}{_CONSONANTS}{_VOWELS}{_CONSONANTS}")  # m > 1
_HAS_VOWEL: Final = re.compile(f"^({_CONSONANTS})?{_V}")
_SHORT: Final = re.compile(f"^{_CONSONANTS}{_V}[^aeiouwxy]$")
_DOUBLED: Final = re.compile(r"([^aeiouylsz])\1$")

_STEP_2: Final = {
    "ational": "ate", "tional": "tion", "enci": "ence", "anci": "ance", "izer": "ize", "bli": "ble",
    "alli": "al", "entli": "ent", "eli": "e", "ousli": "ous", "ization": "ize", "ation": "ate", "ator": "ate",
    "alism": "al", "iveness": "ive", "fulness": "ful", "ousness": "ous", "aliti": "al", "iviti": "ive",
    "biliti": "ble", "logi": "log",
}  # fmt: skip
_STEP_3: Final = {
    "icate": "ic", "ative": "", "alize": "al", "iciti": "ic", "ical": "ic", "ful": "", "ness": "",
}  # fmt: skip
_STEP_4: Final = re.compile(
    "^(.+?)(?:al|ance|ence|er|ic|able|ible|ant|ement|ment|ent|ou|ism|ate|iti|ous|ive|ize|(?<=[st])ion)$"
)


def _endings(table: dict[str, str]) -> re.Pattern[str]:
    return re.compile(f"^(.+?)({'|'.join(sorted(table, key=len, reverse=True))})$")


_ENDINGS: Final = [(_endings(table), table) for table in (_STEP_2, _STEP_3)]


@lru_cache(maxsize=20_000)
def stem(word: str) -> str:
    """The stem of a word in lower case; what is no English word is left as it is."""
    word = _IRREGULAR.get(word, word)
    if len(word) < 3 or not word.isascii() or not word.isalpha():
        return word
    # A y that begins a word is a consonant.
    marked = "Y" + word[1:] if word[0] == "y" else word
    return _final_e(_long(_past(singular(marked)))).lower()


def singular(word: str) -> str:
    """The word without the ending of a plural, or of the third person."""
    if word.endswith(("sses", "ies")):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith("ss") else word


def _past(word: str) -> str:
    if word.endswith("eed"):
        word = word[:-1] if _SYLLABLE.match(word[:-3]) else word
    elif (found := re.match("^(.+?)(ed|ing)$", word)) and _HAS_VOWEL.match(found[1]):
        word = found[1]
        if word.endswith(("at", "bl", "iz")):
            word += "e"
        elif _DOUBLED.search(word):
            word = word[:-1]
        elif _SHORT.match(word):
            word += "e"
    if word.endswith("y") and _HAS_VOWEL.match(word[:-1]):
        word = word[:-1] + "i"
    return word


def _long(word: str) -> str:
    for pattern, table in _ENDINGS:
        if (found := pattern.match(word)) and _SYLLABLE.match(found[1]):
            word = found[1] + table[found[2]]
    if (found := _STEP_4.match(word)) and _SYLLABLES.match(found[1]):
        word = found[1]
    return word


def _final_e(word: str) -> str:
    if word.endswith("e"):
        rest = word[:-1]
        if _SYLLABLES.match(rest) or (_ONE_SYLLABLE.match(rest) and not _SHORT.match(rest)):
            word = rest
    return word[:-1] if word.endswith("ll") and _SYLLABLES.match(word) else word
