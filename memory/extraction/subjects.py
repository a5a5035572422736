"""What a sentence is about: a later one about the same takes its place.

Only where the sentence itself leaves no doubt. Two facts that stand side by side are less harm than one that
is taken for outdated and is not.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

_COMMAND: Final = re.compile(
    r"^(?P<command>(?:pytest|python -m \w+|ruff|mypy|pyright|npm (?:run )?\w+|cargo \w+|go \w+|make \w+)"
    r"(?: [\w./-]+){0,4}): ",
)
_VERB: Final = (
    r"is|are|was|were|has|have|takes?|lasts?|listens|runs|allows?|defaults?|expires?|at most|at least|after"
    r"|within|zijn|heeft|duurt"
)
# "The service listens on port 8000", "A loan lasts 14 days": the same sentence with another number.
_MEASURE: Final = re.compile(
    rf"^(?P<before>[^\d`\"]{{3,120}}?\b(?:{_VERB})\b[^\d`\"]{{0,60}}?)(?P<value>\d+(?:[.,:]\d+)*)"
    r"(?P<after>[^\d]{0,60})$",
    re.IGNORECASE,
)
# "The database is SQLite": the same thing with another name.
_NAMING: Final = re.compile(
    r"^(?:the |our |de |het )(?P<what>[a-z][\w -]{2,40}?) (?:is|are|zijn) "
    r"(?P<name>[`\"]?[A-Z][\w.+#-]*(?: [A-Z0-9][\w.+#-]*)?[`\"]?)(?:\W.*)?$",
    re.IGNORECASE,
)


def subject_of(text: str) -> str | None:
    """The subject of a sentence, or None."""
    plain = " ".join(unicodedata.normalize("NFKC", text).split())
    if found := _COMMAND.match(plain):
        return f"result:{found['command'].casefold()}"
    if (found := _NAMING.match(plain)) and found["name"].strip('`"')[:1].isupper():
        return f"named:{found['what'].casefold()}"
    if found := _MEASURE.match(plain):
        return (
            f"measure:{found['before'].casefold().strip()} # {found['after'].casefold().strip(' .')}".strip()
        )
    return None


def question_subject(question: str) -> str:
    """The subject of an answer: its question, whatever its punctuation."""
    words = re.findall(r"\w+", unicodedata.normalize("NFKC", question).casefold())
    return f"question:{' '.join(words)}"[:400]
