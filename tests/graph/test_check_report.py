"""Score, ticks and what was not run reach whoever decides."""

from dataclasses import dataclass

import pytest

from graph import pull_request
from graph.check_report import CheckSummary, TickSummary, headline, in_short, not_run
from tests.graph.conftest import OpenSmall
from workspace.checks.score import Score, score


@dataclass(frozen=True)
class Outcome:
    passed: bool | None
    score: int
    weight: int
    idle: bool = False


@pytest.mark.parametrize(
    ("outcomes", "total"),
    [
        ([], Score(None, 0, 0)),
        ([Outcome(True, 100, 30)], Score(100, 30, 30)),
        ([Outcome(True, 100, 30), Outcome(False, 0, 10)], Score(75, 40, 40)),
        # What was not run gives no points and takes none: it stands beside the score.
        ([Outcome(True, 100, 30), Outcome(None, 0, 10)], Score(100, 30, 40)),
        ([Outcome(True, 100, 30), Outcome(None, 0, 10, idle=True)], Score(100, 30, 30)),
        ([Outcome(None, 0, 10)], Score(None, 0, 10)),
        # 100 means that all of it holds, so nothing is rounded up to it.
        ([Outcome(True, 100, 30), Outcome(False, 99, 1)], Score(99, 31, 31)),
        ([Outcome(True, 100, 0)], Score(None, 0, 0)),
    ],
)
def test_the_score_is_the_weighted_mean_of_what_was_run(outcomes: list[Outcome], total: Score) -> None:
    assert score(outcomes) == total


def summary(name: str, passed: bool | None, **more: object) -> CheckSummary:
    fields = {"score": 100 if passed else 0, "weight": 10, "idle": False, "summary": "fine"}
    lists = {"ticks": [], "details": [], "before": [], "artifacts": []}
    return CheckSummary.model_validate({"name": name, "passed": passed, **fields, **lists, **more})


def test_who_decides_reads_what_was_not_run_and_which_tests_are_gone() -> None:
    gone = TickSummary(what="passed before and is gone", passed=None, said="test_a")
    checks = [
        summary("tests", True, summary="3 passed", ticks=[gone]),
        summary("audit", None, summary="not run: there is no database of advisories"),
        summary("compose", None, summary="not run: there is no compose file", idle=True),
    ]
    assert headline(checks) == "score 100 of 100 from 1 check, 10 of 20 by weight"
    assert not_run(checks) == ["audit (there is no database of advisories)"]
    assert in_short(checks).splitlines() == [
        "Checks: score 100 of 100 from 1 check, 10 of 20 by weight.",
        "  ✔ tests: 3 passed",
        "  tests: passed before and is gone: test_a",
        "  not run: audit (there is no database of advisories)",
    ]


async def test_the_review_question_and_the_pull_request_show_the_evidence(open_small: OpenSmall) -> None:
    async with open_small() as factory:
        run_id = await factory.submit("Small pages", pipeline="one")
        (review,) = (await factory.drive(run_id)).waiting
        assert review.kind == "review"
        assert "Checks: score 100 of 100 from " in review.question
        assert "✔ links: " in review.question
        assert review.question.rstrip().endswith("or reject it.")
        told = await factory.summary(run_id)
        assert told.score == 100
        assert {check.name for check in told.checks} >= {"links", "secrets", "json"}
        texts = await factory.events.texts(run_id)
        body = pull_request.body(await factory.events.read(run_id), texts, run_id, "0" * 40)
        assert "`score 100 of 100 from " in body
        assert "✔ links (100/100, weight 4): `" in body
