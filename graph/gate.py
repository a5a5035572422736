"""The gate: from evidence to a verdict. Deterministic, pure, never a model.

A team's claim counts for nothing where a check can be run, so the evidence is gathered from the worktree
(`graph/evidence.py`) and only then does this function look at what the team says of itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from teams.contract import TaskResult
from workspace.checks import CheckResult

Verdict = Literal["pass", "clarify", "retry", "escalate", "fail"]


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of a stage when it says that it is done."""

    result: TaskResult | None
    """None when no reply satisfied the schema."""
    result_error: str = ""
    exhausted: str = ""
    """The limit that stopped the loop, in words."""
    loop: str = ""
    """The loop that was detected, in words."""
    missing: tuple[str, ...] = ()
    """Deliverables without a non-empty file."""
    outside: tuple[str, ...] = ()
    """Changed paths that the team may not write."""
    unsupplied: tuple[str, ...] = ()
    """Dependencies that the product declares and that were refused, in words."""
    unresolved: tuple[str, ...] = ()
    """Files of a conflict that still hold marker lines."""
    checks: tuple[CheckResult, ...] = ()
    unchecked: tuple[str, ...] = ()
    """Checks of the team that were not tried, because it does not claim to be done."""
    threshold: int = 70
    attempt: int = 1
    retries: int = 2
    clarifications_left: int = 0


@dataclass(frozen=True, slots=True)
class Ruling:
    """The gate's verdict and the reasons for it, in the words that the team or a person gets to read."""

    verdict: Verdict
    reasons: tuple[str, ...] = field(default=())


def decide(evidence: Evidence) -> Ruling:
    """Rule on a stage, in a fixed order; the first rule that speaks decides."""
    ruling = (
        _schema(evidence)
        or _loop(evidence)
        or _limits(evidence)
        or _question(evidence)
        or _blockers(evidence)
        or _work(evidence)
        or _contradictions(evidence)
        or _confidence(evidence)
        or Ruling("pass", ("every deliverable is there and every check holds",))
    )
    return _with_what_is_known(ruling, evidence) if ruling.verdict == "escalate" else ruling


def _schema(evidence: Evidence) -> Ruling | None:
    if evidence.result is None and not evidence.loop and not evidence.exhausted:
        return Ruling("escalate", (evidence.result_error or "no reply could be read as a TaskResult",))
    return None


def _loop(evidence: Evidence) -> Ruling | None:
    if evidence.loop:
        return _again(evidence, (f"the team went round in circles: {evidence.loop}. Take another way.",))
    return None


def _limits(evidence: Evidence) -> Ruling | None:
    if evidence.exhausted:
        return Ruling("escalate", (f"a limit was reached ({evidence.exhausted})",))
    return None


def _question(evidence: Evidence) -> Ruling | None:
    result = evidence.result
    if result is None or result.status != "NEEDS_CLARIFICATION":
        return None
    if evidence.clarifications_left <= 0:
        return Ruling("escalate", ("the team needs an answer and has no question left",))
    return Ruling("clarify", ("the team needs an answer before it can finish",))


def _blockers(evidence: Evidence) -> Ruling | None:
    result = evidence.result
    if result is not None and (result.status == "BLOCKED" or result.blockers):
        return Ruling("escalate", tuple(result.blockers) or ("the team says that it is blocked",))
    return None


def _work(evidence: Evidence) -> Ruling | None:
    """Files, paths and checks together, so that one retry is told everything that is wrong."""
    reasons = _files(evidence)
    for check in evidence.checks:
        if check.passed is False:
            reasons.append(
                "\n".join([f"check `{check.name}` failed: {check.summary}", *check.details[:_DETAILS]])
            )
    if reasons:
        return _again(evidence, tuple(reasons))
    not_run = [
        f"check `{check.name}` could not run: {check.summary}"
        for check in evidence.checks
        if check.passed is None and not check.idle
    ]
    # Trying again would not bring the check back: only a person can decide without its evidence.
    return Ruling("escalate", tuple(not_run)) if not_run else None


def _files(evidence: Evidence) -> list[str]:
    reasons = [f"deliverable missing or empty: {pattern}" for pattern in evidence.missing]
    reasons += [
        f"the conflict in {path} is not resolved: marker lines are left" for path in evidence.unresolved
    ]
    reasons += [f"written outside the team's paths: {path}" for path in evidence.outside]
    return reasons + [f"{what}: do without it, and declare it no more" for what in evidence.unsupplied]


def _with_what_is_known(ruling: Ruling, evidence: Evidence) -> Ruling:
    """Who may accept the work as it is must know what speaks against it, and what was not looked at."""
    known = [reason for reason in _files(evidence) if reason not in ruling.reasons]
    if evidence.unchecked:
        known.append(f"not checked: {', '.join(evidence.unchecked)}")
    return Ruling("escalate", (*ruling.reasons, *known))


_DETAILS = 20
"""Lines of a failed check that a retry is told: enough to find the fault, small enough for a small model."""


def _contradictions(evidence: Evidence) -> Ruling | None:
    result = evidence.result
    if result is None:
        return None
    found = contradictions(result.assumptions_made, result.verified_facts)
    if found:
        return _again(evidence, tuple(f"the assumption “{a}” contradicts the fact “{b}”" for a, b in found))
    return None


def _confidence(evidence: Evidence) -> Ruling | None:
    result = evidence.result
    if result is not None and result.confidence < evidence.threshold:
        said = f"confidence {result.confidence} is below the team's threshold of {evidence.threshold}"
        return _again(evidence, (f"{said}: verify what you are unsure of",))
    return None


def _again(evidence: Evidence, reasons: tuple[str, ...]) -> Ruling:
    """Retry while the team has attempts left; after that it is for a person."""
    if evidence.attempt <= evidence.retries:
        return Ruling("retry", reasons)
    return Ruling("escalate", (*reasons, f"attempts used up ({evidence.attempt} of {evidence.retries + 1})"))


_NEGATIONS = frozenset(
    {"not", "no", "never", "cannot", "without", "isn't", "doesn't", "don't", "can't", "won't"}
)
_FILLERS = frozenset({"a", "an", "the", "is", "are", "be", "do", "does", "will", "can", "that", "it", "to"})


def contradictions(assumptions: Sequence[str], facts: Sequence[str]) -> list[tuple[str, str]]:
    """Pairs (assumption, fact) that say the same thing, one of them negated.

    Lexical on purpose: it finds "ids are reused" against "ids are never reused" and claims no more.
    """
    found: list[tuple[str, str]] = []
    for assumption in assumptions:
        words, negated = _statement(assumption)
        for fact in facts:
            fact_words, fact_negated = _statement(fact)
            if words and words == fact_words and negated != fact_negated:
                found.append((assumption, fact))
    return found


def _statement(text: str) -> tuple[frozenset[str], bool]:
    words = [word.strip(".,;:!?()\"'“”`").lower() for word in text.split()]
    negations = sum(word in _NEGATIONS for word in words)
    # "keeps" and "does not keep" are the same verb: a final s tells nothing here.
    kept = frozenset(word.rstrip("s") for word in words if word and word not in _NEGATIONS | _FILLERS)
    return kept, negations % 2 == 1
