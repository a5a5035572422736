"""Replies that are JSON: plan, review, clarify."""

import json

import pytest
from langchain_core.messages import HumanMessage

from tests.models.offline.small_factory import say

TEAMS = """# Teams
- business_analysis: Turns words into requirements (required; skip when: never; unless: nothing)
- frontend_engineering: Builds the page (skip when: nobody looks at it; unless: page, web, screen)
- ml_engineering: Ranks (skip when: nothing is ranked; unless: search, rank)
- sre_operations: Runs it (skip when: it is not run)
"""


def plan(requirement: str) -> dict:
    quoted = "\n".join(f"> {line}" for line in requirement.splitlines())
    return json.loads(
        say([HumanMessage(f"---\ncall: plan\nteam: factory\n---\n# Requirement\n{quoted}\n{TEAMS}")])
    )


@pytest.mark.parametrize(
    ("requirement", "skipped"),
    [
        ("Track plants", ["frontend_engineering", "ml_engineering"]),
        ("Track plants on a web page", ["ml_engineering"]),
        ("Track plants with pages and searching", []),
        ("Track homepages and research", ["frontend_engineering", "ml_engineering"]),
    ],
)
def test_a_plan_skips_by_the_words_that_the_message_gives(requirement, skipped):
    answer = plan(requirement)
    assert [entry.partition(":")[0] for entry in answer["skip"]] == skipped
    assert answer["title"]


def clarify(question: str, files: str) -> dict:
    head = "---\ncall: clarify\nteam: api_design\nasker: backend_engineering\n---\n# Requirement\n> x\n"
    return json.loads(say([HumanMessage(f"{head}# Question\n> {question}\n## Your files\n{files}\n")]))


def test_a_question_is_answered_from_the_teams_own_files():
    answer = clarify("Which status code for a missing book?", "# API\n- A missing book has status code 404.")
    assert answer["known"] is True
    assert "404" in answer["answer"]


def test_what_the_files_do_not_say_is_not_known():
    answer = clarify("Which colour is the logo?", "# API\nNothing of that kind.")
    assert (answer["known"], answer["answer"]) == (False, "")
