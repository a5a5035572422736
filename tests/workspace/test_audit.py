"""What the product depends on: known faults from a local database, and licences."""

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.workspace.checking import baseline, fill, only
from workspace.checks import advisories, locks
from workspace.files import Files
from workspace.sandbox import Sandbox


@pytest.fixture
def none() -> Sandbox:
    return Sandbox(False, False, {}, "not needed")


def advisory(name: str = "flying-circus", ecosystem: str = "PyPI", **more: Any) -> str:
    events = [{"introduced": "1.0"}, {"fixed": "1.4.2"}, {"introduced": "2.0"}, {"fixed": "2.1"}]
    affected = {
        "package": {"ecosystem": ecosystem, "name": name},
        "ranges": [{"type": "ECOSYSTEM", "events": events}],
    }
    told = {
        "id": "PYSEC-2026-1",
        "modified": "2026-10-02T00:00:00Z",
        "summary": "Falls down",
        "affected": [affected],
    }
    return json.dumps(told | more)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return fill(tmp_path / "advisories", {"a/PYSEC-2026-1.json": advisory(), "a/none.txt": "x"})


async def test_without_a_database_an_audit_is_not_run_and_no_pass(none: Sandbox, folder: Path) -> None:
    fill(folder, {"requirements.txt": "flying-circus==1.4.1\n"})
    result = await only("audit", folder, none)
    assert (result.passed, result.idle) == (None, False)
    assert "there is no database of advisories" in result.summary


async def test_a_product_that_depends_on_nothing_has_nothing_to_audit(none: Sandbox, folder: Path) -> None:
    assert (await only("audit", folder, none)).idle is True
    assert (await only("licences", folder, none)).idle is True


@pytest.mark.parametrize(
    ("version", "passed"),
    [
        ("0.9", True),
        ("1.0", False),
        ("1.4.1", False),
        ("1.4.2", True),
        ("2.0rc1", True),
        ("2.0.5", False),
        ("2.1", True),
    ],
)
async def test_a_range_of_versions_is_followed(
    none: Sandbox, folder: Path, database: Path, version: str, passed: bool
) -> None:
    fill(folder, {"requirements.txt": f"Flying_Circus=={version}\n"})
    result = await only("audit", folder, none, advisories=database)
    assert result.passed is passed
    if not passed:
        assert result.details[0].startswith(
            f"requirements.txt:1: flying-circus {version}: PYSEC-2026-1 Falls down"
        )
        assert "mended in " in result.details[0]
    assert result.ticks[0].said == "1 advisories, the newest of 2026-10-02"


async def test_a_zip_and_yaml_are_read_too_and_what_was_withdrawn_does_not_count(
    none: Sandbox, folder: Path, tmp_path: Path
) -> None:
    fill(folder, {"uv.lock": '[[package]]\nname = "flying-circus"\nversion = "1.1"\n'})
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("PYSEC-2026-1.json", advisory())
    assert (await only("audit", folder, none, advisories=tmp_path / "all.zip")).passed is False
    yaml = (
        "id: PYSEC-2026-2\nmodified: '2026-01-01T00:00:00Z'\ndetails: Falls\naffected:\n"
        "- package:\n    ecosystem: PyPI\n    name: flying-circus\n  versions: ['1.1', '1.2']\n"
    )
    database = fill(tmp_path / "yaml", {"vulns/flying-circus/PYSEC-2026-2.yaml": yaml})
    assert (await only("audit", folder, none, advisories=database)).passed is False
    gone = fill(tmp_path / "gone", {"a.json": advisory(withdrawn="2026-11-01T00:00:00Z")})
    assert (await only("audit", folder, none, advisories=gone)).passed is True


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        (
            "package-lock.json",
            {"packages": {"": {}, "node_modules/left-pad": {"version": "1.0.1"}}},
            "left-pad",
        ),
        (
            "package-lock.json",
            {
                "lockfileVersion": 1,
                "dependencies": {
                    "a": {"version": "2.0.0", "dependencies": {"left-pad": {"version": "1.0.1"}}}
                },
            },
            "left-pad",
        ),
        ("go.mod", "module a\n\nrequire (\n\texample.org/pad v1.0.1\n)\n", "example.org/pad"),
    ],
)
async def test_npm_and_go_are_audited(
    none: Sandbox, folder: Path, tmp_path: Path, name: str, text: Any, found: str
) -> None:
    fill(folder, {name: text if isinstance(text, str) else json.dumps(text)})
    ecosystem = "Go" if name == "go.mod" else "npm"
    database = fill(tmp_path / "osv", {"a.json": advisory(found, ecosystem)})
    assert (await only("audit", folder, none, advisories=database)).passed is False
    other = fill(tmp_path / "other", {"a.json": advisory(found, "PyPI")})
    assert (await only("audit", folder, none, advisories=other)).passed is True


async def test_a_dependency_that_the_run_did_not_bring_in_is_not_blamed_on_it(
    none: Sandbox, tmp_path: Path, database: Path
) -> None:
    base = fill(tmp_path / "base", {"requirements.txt": "flying-circus==1.1\n"})
    now = fill(tmp_path / "now", {"requirements.txt": "flying-circus==1.1\nother==1\n"})
    result = await only("audit", now, none, advisories=database, baseline=baseline(base))
    assert (result.passed, len(result.before)) == (True, 1)


async def test_versions_that_are_not_fixed_are_named_and_prove_nothing(
    none: Sandbox, folder: Path, database: Path
) -> None:
    fill(folder, {"requirements.txt": "flying-circus>=1\n"})
    result = await only("audit", folder, none, advisories=database)
    assert result.passed is None
    assert "flying-circus" in result.summary
    fill(folder, {"requirements.txt": "flying-circus>=1\nother==1\n"})
    result = await only("audit", folder, none, advisories=database)
    assert ("not audited, no fixed version", "flying-circus") in [(t.what, t.said) for t in result.ticks]


@pytest.mark.parametrize("content", [b"not a zip", b""])
async def test_a_database_that_cannot_be_read_is_not_run(
    none: Sandbox, folder: Path, tmp_path: Path, content: bytes
) -> None:
    fill(folder, {"requirements.txt": "flying-circus==1.1\n"})
    (tmp_path / "all.zip").write_bytes(content)
    result = await only("audit", folder, none, advisories=tmp_path / "all.zip")
    assert result.passed is None
    assert "cannot be read" in result.summary
    empty = tmp_path / "empty"
    empty.mkdir()
    assert (await only("audit", folder, none, advisories=empty)).passed is None


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("uv.lock", "[[package"),
        ("package-lock.json", "[" * 100_000),
        ("package-lock.json", '{"packages": 1}'),
        ("package-lock.json", '{"dependencies": [1]}'),
        ("package-lock.json", "[1]"),
    ],
)
def test_a_hostile_lock_file_is_a_problem_and_no_crash(folder: Path, name: str, text: str) -> None:
    fill(folder, {name: text})
    assert not locks.read(Files(folder)).dependencies


async def test_licences_are_listed_and_what_is_not_known_is_said(none: Sandbox, folder: Path) -> None:
    lock = {
        "packages": {
            "node_modules/a": {"version": "1.0.0", "license": "mit"},
            "node_modules/b": {"version": "1"},
        }
    }
    fill(folder, {"package-lock.json": json.dumps(lock)})
    result = await only("licences", folder, none)
    assert (result.passed, result.score, result.summary) == (True, 50, "1 of 2 known: MIT")
    assert result.details == ("b: its licence is not known here",)
    assert [(t.what, t.said) for t in result.ticks] == [("a", "MIT"), ("b", "unknown")]


async def test_a_licence_is_read_from_what_is_installed_beside_the_factory(
    none: Sandbox, folder: Path
) -> None:
    fill(
        folder,
        {"pyproject.toml": '[project]\nname = "a"\nversion = "1"\ndependencies = ["httpx", "no-such"]\n'},
    )
    result = await only("licences", folder, none)
    assert ("httpx", "BSD-3-Clause") in [(t.what, t.said) for t in result.ticks]
    assert ("no-such", "unknown") in [(t.what, t.said) for t in result.ticks]


def test_a_build_of_ones_own_has_the_faults_of_its_version(tmp_path: Path) -> None:
    events = [{"introduced": "0"}, {"last_affected": "2.0.0"}]
    told = {
        "package": {"ecosystem": "PyPI", "name": "torch"},
        "ranges": [{"type": "ECOSYSTEM", "events": events}],
    }
    (tmp_path / "one.json").write_text(json.dumps({"id": "X-1", "affected": [told]}))
    for version, hits in (("2.0.0+cu118", 1), ("2.0.1+cu118", 0)):
        found = advisories.look(tmp_path, [locks.Dependency("PyPI", "torch", version, "uv.lock")])
        assert len(found.hits) == hits
