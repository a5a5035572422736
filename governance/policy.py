"""The policy: which words in a requirement make it risky, and from which risk on a person is asked.

A policy is data (`policy.toml`, or the file that `FACTORY_POLICY_FILE` names, which then replaces it whole).
It is checked when it is loaded: a wrong rule must stop the program, never quietly allow something.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from core.errors import BadInput
from core.json import is_array, is_object

Risk = Literal["LOW", "MEDIUM", "HIGH"]
"""LOW: executes. MEDIUM: executes and is reported. HIGH: waits for a person."""

ORDER: tuple[Risk, ...] = ("LOW", "MEDIUM", "HIGH")
_MAX_FILE_BYTES = 1_000_000
_LETTERS = r"[^\W_]*"  # of a word; an underscore ends one, so that user_account holds the word account


class PolicyInvalid(BadInput):
    """The policy file is not valid."""

    def __init__(self, file: str, rule: str, problem: str) -> None:
        self.file, self.rule, self.problem = file, rule, problem
        where = f"{file}: {rule}" if rule else file
        super().__init__(
            f"{where}: {problem}",
            untouched="No policy was changed, and nothing was run",
            todo=f"Correct the {'rule' if rule else 'file'}, or unset FACTORY_POLICY_FILE; "
            "the one that ships, governance/policy.toml, shows every field",
        )


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. It holds when any `words` occur and, where `with_words` are given, any of those too."""

    id: str
    risk: Risk
    reason: str
    forbidden: bool
    words: re.Pattern[str]
    with_words: re.Pattern[str] | None


@dataclass(frozen=True, slots=True)
class Policy:
    """All rules, and what each risk leads to."""

    rules: tuple[Rule, ...]
    ask_from: Risk = "HIGH"
    """From this risk on a person is asked before anything runs."""
    notify_from: Risk = "MEDIUM"
    """From this risk on a run is reported as risky, but not held."""
    release_risk: Risk = "HIGH"
    """How risky it is to push a finished run to a remote and to open a pull request there."""

    def asks(self, risk: Risk) -> bool:
        """Whether a person is asked at this risk."""
        return ORDER.index(risk) >= ORDER.index(self.ask_from)

    def notifies(self, risk: Risk) -> bool:
        """Whether this risk is reported."""
        return ORDER.index(risk) >= ORDER.index(self.notify_from)


class _RuleFile(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    id: str = Field(pattern=r"^[a-z][a-z0-9-]{1,59}$")
    reason: str = Field(min_length=1)
    risk: Risk | None = None
    forbidden: bool = False
    words: list[str] = []
    patterns: list[str] = []
    with_words: list[str] = []


class _ApprovalFile(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    ask_from: Risk = "HIGH"
    notify_from: Risk = "MEDIUM"


class _ReleaseFile(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    risk: Risk = "HIGH"


class _PolicyFile(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    approval: _ApprovalFile = _ApprovalFile()
    release: _ReleaseFile = _ReleaseFile()
    rules: list[_RuleFile] = Field(min_length=1)


def load(path: Path | None) -> Policy:
    """The policy in a file, or the one that ships with the program. Raises `PolicyInvalid`."""
    source = resources.files("governance").joinpath("policy.toml") if path is None else path
    where = str(source)
    try:
        raw = source.read_bytes()
        if len(raw) > _MAX_FILE_BYTES:
            raise PolicyInvalid(where, "", f"is bigger than {_MAX_FILE_BYTES} bytes")
    except OSError as error:
        raise PolicyInvalid(where, "", f"cannot be read: {error.strerror}") from error
    return _parsed(raw, where)


@lru_cache(maxsize=4)
def _parsed(raw: bytes, where: str) -> Policy:
    """The policy that a file's bytes are. Kept: its hundreds of patterns take long to compile."""
    try:
        data = tomllib.loads(raw.decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise PolicyInvalid(where, "", f"cannot be read as TOML: {error}") from error
    try:
        written = _PolicyFile.model_validate(data)
    except ValidationError as invalid:
        raise _first(where, data, invalid) from None
    rules = [_rule(where, rule) for rule in written.rules]
    ids = [rule.id for rule in rules]
    for rule_id in ids:
        if ids.count(rule_id) > 1:
            raise PolicyInvalid(where, f"rule {rule_id}", "the id stands twice")
    approval = written.approval
    return Policy(tuple(rules), approval.ask_from, approval.notify_from, written.release.risk)


def _first(where: str, data: dict[str, object], invalid: ValidationError) -> PolicyInvalid:
    error = invalid.errors(include_url=False)[0]
    loc = error["loc"]
    rule = ".".join(str(part) for part in loc)
    if len(loc) > 1 and loc[0] == "rules" and isinstance(loc[1], int):
        written = data["rules"]
        named = written[loc[1]] if is_array(written) else None
        name = named.get("id") if is_object(named) else None
        rule = f"rule {name or f'number {loc[1] + 1}'}"
        if len(loc) > 2:
            rule += f", field {loc[2]}"
    return PolicyInvalid(where, rule, error["msg"])


def _rule(where: str, written: _RuleFile) -> Rule:
    name = f"rule {written.id}"
    if written.risk is None and not written.forbidden:
        raise PolicyInvalid(where, name, "says neither a risk (LOW, MEDIUM, HIGH) nor forbidden = true")
    if not written.words and not written.patterns:
        raise PolicyInvalid(where, name, "has neither words nor patterns, so it can never hold")
    for field, words in (("words", written.words), ("with_words", written.with_words)):
        for word in words:
            if not re.search(r"\w", word) or "*" in word.strip("*"):
                problem = f"{word!r} is no word; * may stand at its ends only"
                raise PolicyInvalid(where, f"{name}, field {field}", problem)
    alternatives = [_word(word) for word in written.words] + written.patterns
    for pattern in written.patterns:
        try:
            re.compile(pattern)
        except re.error as error:
            raise PolicyInvalid(where, f"{name}, field patterns", f"{pattern!r}: {error}") from error
    return Rule(
        id=written.id,
        risk="HIGH" if written.forbidden else written.risk or "HIGH",
        reason=written.reason,
        forbidden=written.forbidden,
        words=_any(alternatives),
        with_words=_any([_word(word) for word in written.with_words]) if written.with_words else None,
    )


def _any(alternatives: Sequence[str]) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{alternative})" for alternative in alternatives), re.IGNORECASE)


def _word(word: str) -> str:
    """A word or phrase at word boundaries; `*` at an end lets the word go on there."""
    before = _LETTERS if word.startswith("*") else ""
    after = _LETTERS if word.endswith("*") else ""
    parts = re.split(r"[\s_-]+", plain(word.strip("*")).strip())
    phrase = r"[\s_-]*".join(re.escape(part) for part in parts if part)
    return rf"(?<![^\W_]){before}{phrase}{after}(?![^\W_])"


def plain(text: str) -> str:
    """Text as rules see it: one case, no accents, no invisible characters to hide a word behind."""
    folded = unicodedata.normalize("NFKD", text).casefold()
    return "".join(
        character
        for character in folded
        if character in "\n\t" or unicodedata.category(character) not in ("Mn", "Cf", "Cc")
    )
