"""Checks of any language that project.toml declares: what is read of them, and what a hostile one gains."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.workspace.checking import baseline, fill, only
from workspace import project_settings
from workspace.checks import CHECKS, CheckResult, gotest, junit, tap
from workspace.checks.suite import Suite
from workspace.declared import RESERVED, DeclaredCheck
from workspace.project_settings import ProjectSettings, ProjectSettingsInvalid
from workspace.sandbox import Sandbox


async def declared(folder: Path, sandbox: Sandbox, command: str, **more: Any) -> CheckResult:
    options = {name: more.pop(name) for name in ("changed", "baseline") if name in more}
    check = DeclaredCheck(name="unit", command=command, **more)
    (result,) = [
        each
        for each in await _run(folder, sandbox, ProjectSettings(checks=(check,)), options)
        if each.name == "unit"
    ]
    return result


async def _run(
    folder: Path, sandbox: Sandbox, settings: ProjectSettings, options: dict[str, Any]
) -> list[CheckResult]:
    from workspace.checks import run_checks

    return await run_checks(["tests"], folder, sandbox, settings=settings, **options)


TAP = r"printf '1..3\nok 1 - adds\nnot ok 2 - divides\nok 3 - later # SKIP no network\n'; exit 1"
XML = '<testsuites><testsuite name="a"><testcase classname="a" name="x"/>{}</testsuite></testsuites>'
FAILED = '<testcase classname="a" name="y"><failure message="1 is not 2"/></testcase>'


async def test_a_shell_script_that_speaks_tap_is_read(sandbox: Sandbox, folder: Path) -> None:
    result = await declared(folder, sandbox, TAP, parser="tap", weight=7)
    assert (result.passed, result.score, result.weight) == (False, 50, 7)
    assert result.summary == "1 passed, 1 failed, 1 skipped"
    assert result.details[0] == "divides"


async def test_a_shell_script_that_writes_junit_is_read(sandbox: Sandbox, folder: Path) -> None:
    fill(folder, {"report.txt": XML.format(FAILED)})
    command = "mkdir -p out && cp report.txt out/junit.xml"
    result = await declared(folder, sandbox, command, parser="junit", report="out/junit.xml")
    assert (result.passed, result.summary) == (False, "1 passed, 1 failed")
    assert result.details[0] == "a::y: 1 is not 2"


@pytest.mark.parametrize(("code", "passed"), [(0, True), (3, False)])
async def test_an_exit_code_is_a_verdict(sandbox: Sandbox, folder: Path, code: int, passed: bool) -> None:
    assert (await declared(folder, sandbox, f"echo hello; exit {code}")).passed is passed


async def test_a_report_of_yesterday_counts_for_nothing(sandbox: Sandbox, folder: Path) -> None:
    fill(folder, {"junit.xml": XML.format("")})
    result = await declared(folder, sandbox, "true", parser="junit", report="junit.xml")
    assert (result.passed, result.summary) == (False, "it wrote no report junit.xml")


async def test_a_program_that_is_not_here_is_not_run(sandbox: Sandbox, folder: Path) -> None:
    result = await declared(folder, sandbox, "no-such-program --test")
    assert (result.passed, result.idle) == (None, False)
    assert "no-such-program" in result.summary


async def test_a_check_of_other_paths_is_idle(sandbox: Sandbox, folder: Path) -> None:
    result = await declared(folder, sandbox, "exit 1", paths=("web/**",), changed=["src/a.py"])
    assert (result.passed, result.idle) == (None, True)
    assert (
        await declared(folder, sandbox, "exit 1", paths=("web/**",), changed=["web/a/b.js"])
    ).passed is False


async def test_a_declared_test_that_failed_before_is_not_blamed(sandbox: Sandbox, tmp_path: Path) -> None:
    base = fill(tmp_path / "base", {"run.sh": TAP})
    now = fill(tmp_path / "now", {"run.sh": TAP})
    result = await declared(now, sandbox, "sh run.sh", parser="tap", baseline=baseline(base))
    assert (result.passed, result.before) == (True, ("divides",))
    fill(now, {"run.sh": TAP.replace("ok 1 - adds", "not ok 1 - adds")})
    result = await declared(now, sandbox, "sh run.sh", parser="tap", baseline=baseline(base))
    assert result.passed is False
    assert result.details[:1] == ("adds",)


@pytest.mark.slow  # with nothing in its cache, Go builds its own library first
async def test_go_tests_are_read(sandbox: Sandbox, folder: Path) -> None:
    if not shutil.which("go", path="/usr/local/bin:/usr/bin:/usr/local/go/bin"):
        pytest.skip("go is not on this machine")
    tests = (
        'package shop\n\nimport "testing"\n\n'
        'func TestTwo(t *testing.T) {\n\tif Two() != 2 {\n\t\tt.Fatal("no two")\n\t}\n}\n\n'
        "func TestFine(t *testing.T) {}\n"
    )
    files = {"go.mod": "module example.org/shop\n\ngo 1.21\n", "shop_test.go": tests}
    fill(folder, {**files, "shop.go": "package shop\n\nfunc Two() int { return 3 }\n"})
    result = await declared(folder, sandbox, "go test -json ./...", parser="go-test-json")
    assert (result.passed, result.summary) == (False, "1 passed, 1 failed")
    assert result.details[0] == "example.org/shop::TestTwo: shop_test.go:7: no two"


async def test_node_tests_are_read(sandbox: Sandbox, folder: Path) -> None:
    if not shutil.which("node", path="/usr/local/bin:/usr/bin"):
        pytest.skip("node is not on this machine")
    fill(
        folder,
        {
            "a.test.js": 'const test = require("node:test"); const assert = require("assert");\n'
            'test("one", () => assert.equal(1, 1));\ntest("two", () => assert.equal(1, 2));\n'
        },
    )
    result = await declared(folder, sandbox, "node --test --test-reporter=tap a.test.js", parser="tap")
    assert (result.passed, result.summary, result.details[0]) == (False, "1 passed, 1 failed", "two")


# What a hostile check tries. Each is bounded, and none passes.


async def test_a_check_that_prints_without_end_is_ended(sandbox: Sandbox, folder: Path) -> None:
    result = await declared(folder, sandbox, "yes 'ok 1 - fine'", parser="tap")
    assert (result.passed, result.summary) == (False, "the check did not end: it passed the limit of output")


async def test_a_check_without_an_end_is_ended(sandbox: Sandbox, folder: Path) -> None:
    result = await declared(folder, sandbox, "sleep 100", seconds=1)
    assert (result.passed, result.summary) == (False, "the check did not end: it passed the limit of time")


async def test_terminal_escapes_of_a_check_reach_nobody(sandbox: Sandbox, folder: Path) -> None:
    command = r"printf '1..1\nnot ok 1 - \033[31mred\033]0;title\007\342\200\256\n'"
    result = await declared(folder, sandbox, command, parser="tap")
    assert result.details[0] == "red"
    assert not any(c in repr(result) for c in ("\x1b", "\x07", "\u202e"))


async def test_a_report_that_is_a_link_out_shows_nothing_of_the_host(
    sandbox: Sandbox, folder: Path, tmp_path: Path
) -> None:
    secret = tmp_path / "secret.xml"
    secret.write_text(XML.format(""))
    result = await declared(folder, sandbox, f"ln -s {secret} r.xml", parser="junit", report="r.xml")
    assert (result.passed, result.summary) == (False, "it wrote no report r.xml")


async def test_a_report_that_is_a_pipe_or_a_device_holds_nobody(sandbox: Sandbox, folder: Path) -> None:
    result = await declared(folder, sandbox, "mkfifo r.xml", parser="junit", report="r.xml", seconds=2)
    assert result.passed is False
    result = await declared(folder, sandbox, "ln -s /dev/zero r.xml", parser="junit", report="r.xml")
    assert result.passed is False


async def test_a_huge_report_is_not_read(sandbox: Sandbox, folder: Path) -> None:
    command = "head -c 9000000 /dev/zero | tr '\\0' ' ' > r.xml"
    result = await declared(folder, sandbox, command, parser="junit", report="r.xml")
    assert (result.passed, result.summary) == (False, "its report has more than 8000000 bytes")


async def test_a_quote_without_its_other_takes_nothing_along(sandbox: Sandbox, folder: Path) -> None:
    assert (await declared(folder, sandbox, "echo 'ok; exit 0")).passed is False


BOMB = (
    '<!DOCTYPE b [<!ENTITY a "aaaaaaaaaa">'
    + "".join(f'<!ENTITY {n} "{f"&{m};" * 10}">' for m, n in zip("abcdefgh", "bcdefghi", strict=True))
    + "]><testsuites><testsuite><testcase name='&i;'/></testsuite></testsuites>"
)
OUTSIDE = (
    '<!DOCTYPE b [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
    "<testsuites><testsuite><testcase name='a'>&x;</testcase></testsuite></testsuites>"
)


@pytest.mark.parametrize("text", [BOMB, OUTSIDE])
def test_entities_in_a_report_are_never_followed(text: str) -> None:
    assert junit.read(text) == Suite(broken="the JUnit report is refused: it declares a document type")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("<testsuite>" * 100, "refused: it is nested deeper"),
        ("not xml", "cannot be read"),
        ("<html></html>", "holds no suite"),
        ("", "cannot be read"),
        (
            "<testsuite>" + "".join(f"<testcase name='{n}'/>" for n in range(100_001)),
            "more than 100000 tests",
        ),
    ],
)
def test_a_report_that_is_none_proves_nothing(text: str, why: str) -> None:
    assert why in junit.read(text).broken


def test_a_test_that_ran_twice_failed_when_it_failed_once() -> None:
    twice = XML.format('<testcase classname="a" name="y"/>' + FAILED + '<testcase classname="a" name="y"/>')
    assert junit.read(twice).cases == {"a::x": "passed", "a::y": "failed"}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no plan"),
        ("ok 1\nok 2\n", "no plan"),
        ("1..3\nok 1\n", "3 tests were planned and 1 came"),
        ("1..2\nok 1\nBail out! no database\n", "gave up: Bail out! no database"),
    ],
)
def test_tap_that_tells_but_half_proves_nothing(text: str, why: str) -> None:
    assert why in tap.read(text).broken


def test_tap_is_read_with_its_nested_tests_and_without_its_diagnoses() -> None:
    text = (
        "TAP version 14\n    ok 1 - inner\n    not ok 2 - inner bad # TODO later\n    1..2\nok 1 - outer\n"
        "  ---\n  message: |\n    not ok 5 - no test at all\n  ...\nnot ok 2\n1..2\n"
    )
    assert tap.read(text).cases == {
        "inner": "passed",
        "inner bad": "skipped",
        "outer": "passed",
        "test 2": "failed",
    }


def test_a_package_that_go_cannot_build_failed() -> None:
    text = '{"Action":"output","Package":"a","Output":"x"}\n{"Action":"fail","Package":"a"}\ngo: noise\n[1]\n'
    assert gotest.read(text).cases == {"a": "failed"}
    assert gotest.read("{}\n{bad\n").broken


# What a project.toml may say.


def loaded(home: Path, operators: str = "", in_repository: str | None = None) -> ProjectSettings:
    fill(home, {"projects/shop/project.toml": operators})
    return project_settings.load(home, "shop", in_repository).settings


CHECK = '[[checks]]\nname = "unit"\ncommand = "npm test"\n'


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (CHECK + 'parser = "xunit"\n', "checks.0.parser: Input should be 'exit-code', 'tap'"),
        (CHECK + "weight = 31\n", "checks.0.weight: "),
        (CHECK + 'weight = "3"\n', "checks.0.weight: "),
        (CHECK + 'parser = "junit"\n', 'report = "path of the XML file" goes with parser'),
        (CHECK + 'parser = "junit"\nreport = "../r.xml"\n', "checks.0.report: must be a path inside"),
        (CHECK + 'report = "r.xml"\n', "goes with parser"),
        (CHECK + 'colour = "blue"\n', "'checks.0.colour' is no key; allowed: name, command, parser"),
        (CHECK + CHECK, "checks: 'unit' stands twice"),
        ('[[checks]]\nname = "tests"\ncommand = "true"\n', "'tests' is one of the factory's own checks"),
        ('[[checks]]\nname = "a"\n', "checks.0.command: Field required"),
        ('[[checks]]\nname = "a"\ncommand = "\\u001b[2J"\n', "checks.0.command: must be a command line"),
        (CHECK.replace("unit", "Unit tests"), "checks.0.name: must be 1 to 40 of a-z"),
        (CHECK + "seconds = 0\n", "checks.0.seconds: "),
        ('[page]\ncommand = "serve"\npath = "index.html"\n', "page.path: must begin with /"),
    ],
)
def test_a_check_that_cannot_be_is_refused_with_its_place(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(ProjectSettingsInvalid) as refused:
        loaded(tmp_path, text)
    assert problem in str(refused.value)
    assert "docs/checks.md" in str(refused.value)


def test_the_repository_declares_checks_and_the_operator_replaces_them(tmp_path: Path) -> None:
    assert [check.name for check in loaded(tmp_path, "", CHECK).checks] == ["unit"]
    other = CHECK.replace("unit", "mine")
    assert [check.name for check in loaded(tmp_path, other, CHECK).checks] == ["mine"]


def test_a_repository_gives_its_checks_no_network(tmp_path: Path) -> None:
    with pytest.raises(ProjectSettingsInvalid, match=r"checks\.unit\.policy: may be none, read, build, test"):
        loaded(tmp_path, "", CHECK + 'policy = "net"\n')
    assert loaded(tmp_path, CHECK + 'policy = "net"\n').checks[0].policy == "net"


def test_tables_of_others_in_the_repository_are_passed_over(tmp_path: Path) -> None:
    assert loaded(tmp_path, "", CHECK + '[mcp.servers.a]\ncommand = ["x"]\n').checks[0].name == "unit"


def test_no_project_takes_the_name_of_our_checks() -> None:
    assert CHECKS <= RESERVED


async def test_tests_are_still_needed_where_there_is_python(sandbox: Sandbox, folder: Path) -> None:
    fill(folder, {"a.py": "A = 1\n"})
    settings = ProjectSettings(checks=(DeclaredCheck(name="unit", command="true"),))
    result = await only("tests", folder, sandbox, settings=settings)
    assert (result.passed, result.summary) == (False, "no tests were found")
