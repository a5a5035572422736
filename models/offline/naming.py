"""Words to names: singular and plural, slugs that are safe in Python, SQL and a URL."""

import keyword
import re
import sys
import tomllib
import unicodedata
from functools import cache
from importlib import resources
from typing import Any, Literal

Kind = Literal["text", "integer", "number", "boolean", "date"]

_LETTERS = str.maketrans({"ß": "ss", "æ": "ae", "ø": "o", "đ": "d", "ł": "l", "œ": "oe", "þ": "th"})


@cache
def vocabulary() -> dict[str, Any]:
    """The parser's word lists (`vocabulary.toml`)."""
    return tomllib.loads(resources.files("models.offline").joinpath("vocabulary.toml").read_text("utf-8"))


def latin(text: str) -> str:
    """The text in lower-case ASCII as far as it can be: accents go, other scripts are dropped."""
    lowered = unicodedata.normalize("NFKD", text.lower().translate(_LETTERS))
    return lowered.encode("ascii", "ignore").decode("ascii")


def snake(words: str, limit: int = 40) -> str:
    """A name of lower-case letters, digits and single underscores that begins with a letter; may be empty."""
    name = re.sub(r"[^a-z0-9]+", "_", latin(words)).strip("_")
    return name.lstrip("0123456789_")[:limit].rstrip("_")


def singular(word: str) -> str:
    """One of them: `books` → `book`. A word that does not look like a plural is returned as it is."""
    irregular: dict[str, str] = vocabulary()["irregular"]
    if word in irregular:
        return irregular[word]
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if re.search(r"(ch|sh|ss|x|zz)es$", word):
        return word[:-2]
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


def plural(word: str) -> str:
    """Many of them; never the same word, so that it can name the collection."""
    for many, one in vocabulary()["irregular"].items():
        if one == word and many != one:
            return many
    if re.search(r"(ch|sh|s|x|z)$", word):
        return word + "es"
    if re.search(r"[^aeiou]y$", word):
        return word[:-1] + "ies"
    return word + "s"


def package_name(title: str) -> str:
    """An importable name that hides no module: two or three words of the title, or one and `_service`."""
    stopwords: list[str] = vocabulary()["stopwords"]
    words = [word for word in snake(title, 200).split("_") if word and word not in stopwords][:3]
    name = words[0][:24] if words else "items"
    for word in words[1:]:
        name = f"{name}_{word}" if len(name) + len(word) < 24 else name
    if "_" not in name or keyword.iskeyword(name) or name in sys.stdlib_module_names:
        name += "_service"
    return name


def spoken(name: str) -> str:
    """`last_watered_on` → `last watered on`."""
    return name.replace("_", " ")


def kind(name: str) -> Kind:
    """The kind of a field, by its name: dates are ISO text, flags booleans, counts integers."""
    vocab = vocabulary()
    words = name.split("_per_")[0].split("_")
    if any(word in vocab["text_fields"]["words"] for word in words):
        return "text"
    participle = len(words) == 1 and len(name) > 4 and name.endswith("ed") and not name.endswith("eed")
    if participle or words[-1] in vocab["kinds"]["boolean"] or words[0] in {"is", "has"}:
        return "boolean"
    if words[-1] in vocab["kinds"]["date"] or "date" in words:
        return "date"
    if words[-1] in vocab["kinds"]["integer"]:
        return "integer"
    return "number" if words[-1] in vocab["kinds"]["number"] else "text"


@cache
def verb_kinds() -> dict[str, str]:
    """What each verb that we know asks for: create, list, update, delete or keep."""
    return {verb: kind for kind, verbs in vocabulary()["verbs"].items() for verb in verbs}
