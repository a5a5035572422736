import pytest

from graph.gate import Evidence, contradictions, decide
from teams.contract import Clarification, TaskResult
from workspace.checks import CheckResult


def result(**changes: object) -> TaskResult:
    fields: dict[str, object] = {
        "reasoning": "done",
        "deliverables": ("docs/a.md",),
        "verified_facts": (),
        "assumptions_made": (),
        "blockers": (),
        "clarification_needed": None,
        "confidence": 90,
        "status": "COMPLETE",
    }
    return TaskResult.model_validate(fields | changes)


def check(passed: bool | None) -> CheckResult:
    return CheckResult("tests", passed, 100 if passed else 0, "2 failed", ("test_a: boom",), 0.1)


ASKS = result(
    status="NEEDS_CLARIFICATION",
    clarification_needed=Clarification(target_team="api_design", question="Which port?"),
)


@pytest.mark.parametrize(
    ("evidence", "verdict", "said"),
    [
        (Evidence(result()), "pass", "every check holds"),
        (Evidence(result(), checks=(check(True),)), "pass", ""),
        (Evidence(None, result_error="no JSON"), "escalate", "no JSON"),
        (Evidence(None, loop="the same action"), "retry", "in circles"),
        (Evidence(None, loop="the same action", attempt=3), "escalate", "attempts used up (3 of 3)"),
        (Evidence(None, exhausted="iterations: 24 of 24"), "escalate", "iterations: 24 of 24"),
        (Evidence(ASKS, clarifications_left=1), "clarify", "needs an answer"),
        (Evidence(ASKS, clarifications_left=0), "escalate", "no question left"),
        (Evidence(result(status="BLOCKED", blockers=("no key",))), "escalate", "no key"),
        (Evidence(result(), missing=("docs/a.md",)), "retry", "docs/a.md"),
        (Evidence(result(), missing=("docs/a.md",), attempt=3), "escalate", "attempts used up"),
        (Evidence(result(), outside=("setup.py",)), "retry", "outside the team's paths: setup.py"),
        (Evidence(result(), checks=(check(False),)), "retry", "test_a: boom"),
        (Evidence(result(), checks=(check(None),)), "escalate", "could not run"),
        (Evidence(result(), checks=(check(None),), missing=("x",)), "retry", "x"),
        (Evidence(result(confidence=69)), "retry", "69 is below the team's threshold of 70"),
        (Evidence(result(confidence=70)), "pass", ""),
        (
            Evidence(result(assumptions_made=("ids are reused",), verified_facts=("Ids are never reused.",))),
            "retry",
            "contradicts",
        ),
    ],
)
def test_the_gate_rules_on_evidence_in_its_order(evidence: Evidence, verdict: str, said: str) -> None:
    ruling = decide(evidence)
    assert ruling.verdict == verdict
    assert said in "\n".join(ruling.reasons)


def test_confidence_does_not_outweigh_a_failed_check() -> None:
    assert decide(Evidence(result(confidence=100), checks=(check(False),))).verdict == "retry"


def test_one_retry_is_told_everything_that_is_wrong() -> None:
    reasons = decide(Evidence(result(), missing=("a", "b"), checks=(check(False),))).reasons
    assert len(reasons) == 3


@pytest.mark.parametrize(
    ("assumption", "fact", "found"),
    [
        ("the service keeps ids", "The service does not keep ids", True),
        ("it is not public", "it is public", True),
        ("it is public", "it is public", False),
        ("it is not public", "it is never public", False),
        ("a title is optional", "an author is optional", False),
        ("", "", False),
    ],
)
def test_an_assumption_contradicts_only_the_same_statement_negated(
    assumption: str, fact: str, found: bool
) -> None:
    assert bool(contradictions([assumption], [fact])) is found
