"""What a person asks for: held against what can be worked on, and the name of a project made of it."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from core.errors import BadInput
from core.redaction import redact

MOST_REQUIREMENT: Final = 100_000
"""Characters of a requirement: about 25,000 tokens, more than the local models' context leaves room for."""

_FILLERS: Final = re.compile(
    "a|an|and|build|create|for|i|make|me|my|need|of|our|please|that|the|to|want|we|with"
)
"""Words of a requirement that name nothing."""


class RequirementInvalid(BadInput):
    """The requirement cannot be worked on."""


def checked_requirement(text: str, *, example: str = 'factory run "A lending library …"') -> str:
    """The requirement, stripped, its secrets masked; raises RequirementInvalid where there is none."""
    nothing = "Nothing was started"
    if "\x00" in text:
        raise RequirementInvalid(
            "The requirement is not text: it holds NUL characters",
            untouched=nothing,
            todo="Give plain text or Markdown",
        )
    stripped = text.strip()
    if not any(character.isalnum() for character in stripped):
        raise RequirementInvalid(
            "The requirement is empty",
            untouched=nothing,
            todo=f"Say what is wanted, as in `{example}`",
        )
    if len(stripped) > MOST_REQUIREMENT:
        raise RequirementInvalid(
            f"The requirement has {len(stripped):,} characters; the most is {MOST_REQUIREMENT:,}",
            untouched=nothing,
            todo="Shorten it, or put the material into a repository and start with --repo",
        )
    return redact(stripped)


def slug(requirement: str) -> str:
    """A project name from a requirement's first words: lower-case letters, digits and hyphens, at most 40."""
    plain = unicodedata.normalize("NFKD", requirement).encode("ascii", "ignore").decode().lower()
    words = re.findall(r"[a-z0-9]+", plain)
    meaningful = [word for word in words if not _FILLERS.fullmatch(word)][:5]
    return "-".join(meaningful)[:40].strip("-") or "project"
