"""Which packages a product may depend on."""

from pathlib import Path

import pytest

from governance.dependencies import Grant, Rules, RulesInvalid, judge, load
from workspace.dependencies.archive import Package
from workspace.dependencies.settings import Dependencies
from workspace.licences import UNKNOWN, Licence

RULES = Rules({"alpha": ">=1,<3", "beta": ""}, frozenset({"MIT"}), frozenset({"evil"}))


def package(name: str = "alpha", version: str = "2.0", licence: str = "MIT") -> Package:
    said = Licence(licence, "License-Expression", licence) if licence else UNKNOWN
    return Package(name, version, f"{name}-{version}-py3-none-any.whl", "0" * 64, said, (), frozenset())


def verdict(of: Package, rules: Rules = RULES, *grants: Grant) -> str | None:
    objection = judge(of, rules, grants)
    return objection.why if objection else None


@pytest.mark.parametrize(
    ("of", "why"),
    [
        (package(), None),
        (package(version="3.0"), "version"),
        (package("gamma"), "not-listed"),
        (package("evil"), "denied"),
        (package(licence="GPL-3.0-only"), "licence-refused"),
        (package(licence="MIT OR GPL-3.0-only"), None),
        (package(licence="MIT AND GPL-3.0-only"), "licence-refused"),
        (package(licence=""), "licence-unknown"),
    ],
)
def test_a_package_is_judged_by_name_version_and_licence(of: Package, why: str | None) -> None:
    assert verdict(of) == why


def test_a_person_allows_a_name_with_the_licence_that_it_had_then() -> None:
    grant = Grant("gamma", "GPL-3.0-only")
    assert verdict(package("gamma", licence="GPL-3.0-only"), RULES, grant) is None
    assert verdict(package("gamma", licence="AGPL-3.0-only"), RULES, grant) == "licence-refused"
    assert verdict(package("gamma", licence="MIT"), RULES, grant) is None
    assert verdict(package("delta", licence="GPL-3.0-only"), RULES, grant) == "not-listed"
    assert verdict(package("evil"), RULES, Grant("evil", "MIT")) == "denied"


def test_a_project_narrows_and_never_widens() -> None:
    wide = Rules({"*": ""}, frozenset({"MIT", "ISC"}), frozenset({"evil"}))
    narrow = wide.narrowed(Dependencies(only=["Alpha"], licences=["isc", "GPL-3.0-only"], denied=["beta"]))
    assert verdict(package(licence="ISC"), narrow) is None
    assert verdict(package(licence="MIT"), narrow) == "licence-refused"
    assert verdict(package(licence="GPL-3.0-only"), narrow) == "licence-refused"
    assert verdict(package("beta"), narrow) == "denied"
    assert verdict(package("evil"), narrow) == "denied"
    assert verdict(package("gamma", licence="ISC"), narrow) == "not-listed"


def test_the_list_that_ships_allows_licences_and_no_name() -> None:
    rules = load(None)
    assert {"MIT", "Apache-2.0"} <= rules.licences
    assert verdict(package(), rules) == "not-listed"


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("licences = ['nothing known']", "licences.0"),
        ("licences = []\nallow = {}", "allow"),
        ("licences = []\n[allowed]\nalpha = 'about 3'", "allowed.alpha"),
        ("licences = [", "TOML"),
        ("denied = []", "licences"),
    ],
)
def test_a_wrong_line_stops_the_program(tmp_path: Path, text: str, where: str) -> None:
    path = tmp_path / "dependencies.toml"
    path.write_text(text)
    with pytest.raises(RulesInvalid, match=where):
        load(path)
