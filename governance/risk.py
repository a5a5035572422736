"""How risky a requirement is: a pure function from its text and the policy to a verdict with reasons."""

from __future__ import annotations

from dataclasses import dataclass

from governance.policy import ORDER, Policy, Risk, plain

__all__ = ["Assessment", "Risk", "assess"]

_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Assessment:
    """The verdict of the rules."""

    risk: Risk
    reasons: tuple[str, ...]
    """One a rule that holds, gravest first, each with the words that it found."""
    rules: tuple[str, ...]
    """The ids of the rules that hold, in the same order."""
    forbidden: bool
    """The policy forbids it; no approval changes that."""


def assess(requirement: str, policy: Policy) -> Assessment:
    """The highest risk of all rules that hold; LOW when none does."""
    text = plain(requirement)
    found: list[tuple[bool, int, str, str]] = []
    for rule in policy.rules:
        match = rule.words.search(text)
        if match is None or (rule.with_words is not None and rule.with_words.search(text) is None):
            continue
        said = " ".join(match.group().split())[:_SHOWN]
        found.append((rule.forbidden, ORDER.index(rule.risk), rule.id, f'{rule.reason} (it says "{said}")'))
    found.sort(key=lambda hit: (hit[0], hit[1]), reverse=True)
    risk = ORDER[max((order for _, order, _, _ in found), default=0)]
    return Assessment(
        risk=risk,
        reasons=tuple(reason for *_, reason in found),
        rules=tuple(rule for _, _, rule, _ in found),
        forbidden=any(forbidden for forbidden, *_ in found),
    )
