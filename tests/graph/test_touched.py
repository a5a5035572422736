"""Whom a change concerns, by rules: text, files named, contents."""

import time

import pytest

from graph import touched
from models.offline.changed import edits
from teams.registry import Registry

BUILT = [
    "src/lib/entities.py",
    "src/lib/schema.sql",
    "docs/api/openapi.json",
    "README.md",
    "tests/unit/test_a.py",
]
IMPORTED = [
    "shop/money.py",
    "shop/web/page.html",
    "tests/test_money.py",
    "setup.py",
    "README.md",
    "notes/plan.md",
]


@pytest.fixture(scope="module")
def teams() -> list:
    registry = Registry.load("software")
    return [registry.team(team) for team in registry.ids]


def whom(teams: list, text: str, files: list[str], mentions: dict[str, list[str]] | None = None) -> dict:
    return touched.touched(text, teams, touched.named_files(text, files), mentions or {})


def test_a_file_that_is_named_concerns_the_team_that_may_write_it_and_who_tests_after_it(teams: list) -> None:
    found = whom(teams, "Make schema.sql strict", BUILT)
    assert found["database_engineering"].reason == "the change names src/lib/schema.sql"
    assert found["qa_engineering"].reason.startswith("it looks at the work of")
    assert "ml_engineering" not in found


def test_of_an_imported_repository_each_file_has_somebody_who_takes_it_on(teams: list) -> None:
    owners = {path: team.id for path in IMPORTED if (team := touched.owner(path, teams))}
    assert owners == {
        "shop/money.py": "backend_engineering",
        "shop/web/page.html": "frontend_engineering",
        "tests/test_money.py": "qa_engineering",
        "setup.py": "backend_engineering",
        "README.md": "documentation",
        "notes/plan.md": "documentation",
    }
    given = touched.adopted(IMPORTED, ["shop/new/deep.py"], teams)
    assert given["backend_engineering"] == ["shop/**/*", "setup.py"]
    assert "qa_engineering" not in given, "its own paths mean them already"


def test_a_word_in_a_teams_file_concerns_it_less_surely_than_the_text_itself(teams: list) -> None:
    found = whom(teams, "Members have an email", BUILT, {"Members": ["docs/api/openapi.json"]})
    assert not found["api_design"].sure
    assert found["api_design"].reason == "docs/api/openapi.json speaks of “Members”"


def test_a_script_in_the_text_names_files_that_are_still_to_be() -> None:
    text = "Add it.\n\n```write shop/new.py\nX = 1\n```\n\nSee https://example.org/a/b.py and e.g. money.py."
    assert touched.named_files(text, IMPORTED) == ["shop/new.py", "shop/money.py"]


@pytest.mark.parametrize("path", ["../x.py", "/etc/passwd", ".git/config", "a/../../b.py"])
def test_a_path_that_leads_out_is_no_file_that_a_change_names(path: str, teams: list) -> None:
    text = f"Do it.\n\n```write {path}\nX\n```\n"
    assert touched.named_files(text, IMPORTED) == []
    assert touched.adopted([], [path], teams) == {}


def test_the_criteria_are_the_sentences_of_the_prose() -> None:
    text = "Round first. Keep totals whole!\n\n- a list of two\n- points\n\n```bash\nrm -rf /\n```\n"
    assert touched.criteria(text) == ["Round first.", "Keep totals whole!", "a list of two points"]


def test_edits_name_one_place_each_and_give_the_new_text() -> None:
    old = "\n".join(["a", "same", "b", "same", "c", "same", "d"]) + "\n"
    new = "\n".join(["a", "same", "b", "same", "new", "c", "same", "d", "end"]) + "\n"
    text = old
    for search, replace in edits(old, new):
        assert text.count(search) == 1
        text = text.replace(search, replace)
    assert text == new


def test_no_text_makes_the_search_for_files_take_for_ever() -> None:
    begun = time.process_time()
    assert touched.named_files(f"{'a' * 50_000}/ and {'a/' * 20_000}/ and notes/plan.md", IMPORTED) == [
        "notes/plan.md"
    ]
    assert time.process_time() - begun < 10  # it took hours, and nothing else ran meanwhile


def test_a_block_that_is_never_closed_is_prose_and_many_of_them_hold_nobody() -> None:
    assert touched.prose("a\n```python\nb\n~~~\nc\n```\nd\n~~~~\ne") == "a\n\nd\n~~~~\ne"
    begun = time.process_time()
    assert touched.terms("```python\n" * 40_000 + "overdue\n") == ["overdue", "python"]
    assert time.process_time() - begun < 10  # it was quadratic
