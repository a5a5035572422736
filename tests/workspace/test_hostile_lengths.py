"""Files and outputs that are made to keep a check busy: each is read in a moment."""

import json
import time
from pathlib import Path

import pytest

from workspace.checks import documents, gotest, locks, secrets
from workspace.files import Files


@pytest.mark.parametrize("text", ["\n" * 400_000, "." * 400_000, "a." * 200_000])
def test_no_go_mod_makes_the_reading_of_it_take_for_ever(tmp_path: Path, text: str) -> None:
    (tmp_path / "go.mod").write_text(f"require example.org/pad v1.0.1\n{text}\n")
    begun = time.process_time()
    assert [each.name for each in locks.read(Files(tmp_path)).dependencies] == ["example.org/pad"]
    assert time.process_time() - begun < 10  # it took hours, and nothing else ran meanwhile


def test_no_json_with_a_field_twice_makes_the_check_take_for_ever(tmp_path: Path) -> None:
    fields = ",".join(f'"{number}":0' for number in [*range(60_000), 59_999])
    (tmp_path / "many.json").write_text(f"{{{fields}}}")
    begun = time.process_time()
    assert "'59999' stands twice" in documents.look(Files(tmp_path)).problems[0].what
    assert time.process_time() - begun < 10


def test_no_output_of_go_makes_the_reading_of_it_take_for_ever() -> None:
    told = [{"Package": f"p{n}", "Test": "t", "Action": "pass"} for n in range(20_000)]
    told += [{"Package": f"q{n}", "Action": "pass"} for n in range(20_000)]
    told += [{"Package": "p1", "Action": "fail"}]
    begun = time.process_time()
    suite = gotest.read("\n".join(json.dumps(each) for each in told))
    assert (suite.count("failed"), suite.cases["p1"]) == (1, "failed")
    assert time.process_time() - begun < 10


@pytest.mark.parametrize("before", [0, 4_990, 4_999, 9_480, 30_000])
def test_a_secret_far_along_a_line_is_found(tmp_path: Path, before: int) -> None:
    key = "AKIA" + "Q3EGRVSBXHZ7LMNP"
    (tmp_path / "data.json").write_text(f'"{"word " * (before // 5)}", {key}')
    assert [each.what for each in secrets.look(Files(tmp_path)).problems] == ["an AWS access key"]
    (tmp_path / "data.json").write_text(f'"{"word " * (before // 5)}"')
    assert not secrets.look(Files(tmp_path)).problems
