"""A policy file is checked whole before anything is allowed by it."""

from pathlib import Path

import pytest

from core.errors import BadInput
from governance.policy import PolicyInvalid, load
from governance.risk import assess

RULE = '[[rules]]\nid = "ships"\nrisk = "HIGH"\nreason = "Ships are expensive"\nwords = ["ship*"]\n'


def written(folder: Path, text: str) -> Path:
    file = folder / "policy.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_a_projects_own_policy_replaces_the_shipped_one(tmp_path: Path) -> None:
    policy = load(written(tmp_path, '[approval]\nask_from = "MEDIUM"\n' + RULE))
    assert assess("Two ships", policy).risk == "HIGH"
    assert assess("Payments", policy).risk == "LOW"
    assert policy.asks("MEDIUM")


def test_words_and_with_words_must_both_occur(tmp_path: Path) -> None:
    policy = load(written(tmp_path, RULE + 'with_words = ["sea"]\n'))
    assert assess("ships on rails", policy).risk == "LOW"
    assert assess("the sea has ships", policy).risk == "HIGH"
    assert assess("seasick on ships", policy).risk == "LOW"


@pytest.mark.parametrize(
    ("text", "where", "problem"),
    [
        ("", "", "rules"),
        ("[[rules", "", "TOML"),
        (RULE.replace("HIGH", "HUGE"), "rule ships, field risk", "LOW"),
        (RULE.replace('risk = "HIGH"\n', ""), "rule ships", "neither a risk"),
        (RULE.replace('words = ["ship*"]\n', ""), "rule ships", "neither words nor patterns"),
        (RULE.replace('reason = "Ships are expensive"\n', ""), "rule ships, field reason", "required"),
        (RULE.replace('"ship*"', '"sh*p"'), "rule ships, field words", "ends only"),
        (RULE.replace('"ship*"', '"*"'), "rule ships, field words", "no word"),
        (RULE.replace('words = ["ship*"]', 'patterns = ["("]'), "rule ships, field patterns", "("),
        (RULE.replace('"ship*"', "7"), "rule ships, field words", "string"),
        (RULE + "amount = 100\n", "rule ships, field amount", "not permitted"),
        (RULE.replace('"ships"', '"Ships!"'), "rule Ships!, field id", "pattern"),
        (RULE.replace('id = "ships"\n', ""), "rule number 1, field id", "required"),
        (RULE + RULE, "rule ships", "twice"),
        ('[approval]\nask_from = "NEVER"\n' + RULE, "approval.ask_from", "LOW"),
    ],
)
def test_a_wrong_policy_is_refused_and_names_the_rule(
    tmp_path: Path, text: str, where: str, problem: str
) -> None:
    with pytest.raises(PolicyInvalid) as caught:
        load(written(tmp_path, text))
    assert isinstance(caught.value, BadInput)
    assert where in caught.value.rule
    assert problem in f"{caught.value.rule}: {caught.value.problem}"
    assert "policy.toml" in str(caught.value)


def test_a_policy_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PolicyInvalid, match="cannot be read"):
        load(tmp_path / "absent.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(PolicyInvalid, match="cannot be read"):
        load(tmp_path / "binary.toml")
