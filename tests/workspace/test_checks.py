import json
from pathlib import Path

import pytest

from workspace.checks import CheckResult, CheckUnknown, run_checks, secrets
from workspace.checks.links import anchors_in
from workspace.sandbox import Sandbox


@pytest.fixture
def no_sandbox() -> Sandbox:
    return Sandbox(False, False, {}, "bubblewrap is not installed")


def put(folder: Path, **files: str) -> None:
    for name, text in files.items():
        stem, _, ending = name.replace("__", "/").rpartition("_")
        path = folder / f"{stem}.{ending}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


async def only(name: str, folder: Path, sandbox: Sandbox, **options: object) -> CheckResult:
    (result,) = await run_checks([name], folder, sandbox, **options)  # type: ignore[arg-type]
    assert result.name == name
    assert 0 <= result.score <= 100
    return result


async def test_tests_that_pass_are_counted_with_their_coverage(sandbox: Sandbox, folder: Path) -> None:
    put(
        folder,
        src__shop____init___py="def one():\n    return 1\n\n\ndef two():\n    return 2\n",
        tests__test_shop_py="from shop import one\n\n\ndef test_one():\n    assert one() == 1\n",
        pyproject_toml='[tool.pytest.ini_options]\npythonpath = ["src"]\n',
    )
    (folder / "src/shop/__init__.py").write_text("def one():\n    return 1\n\n\ndef two():\n    return 2\n")
    result = await only("tests", folder, sandbox)
    assert (result.passed, result.score, result.summary) == (True, 100, "1 passed, 75 % of src covered")
    assert sorted(path.name for path in folder.iterdir()) == ["pyproject.toml", "src", "tests"]


async def test_a_failing_test_is_shown(sandbox: Sandbox, folder: Path) -> None:
    put(folder, test_a_py="def test_good():\n    pass\n\ndef test_bad():\n    assert 1 == 2, 'why'\n")
    result = await only("tests", folder, sandbox)
    assert (result.passed, result.score, result.summary) == (False, 50, "1 passed, 1 failed")
    assert any("why" in line for line in result.details)


NONE_PASSED = "no test passed: pytest ran none to its end"


@pytest.mark.parametrize(
    ("program", "summary"),
    [
        ("", "no tests were found"),
        ("import none_such\n", "0 passed, 1 failed"),
        ("import os\nos._exit(0)\n", NONE_PASSED),
        (
            "import pytest\n@pytest.mark.skip\ndef test_a(): pass\n",
            "no test passed: 0 passed, 1 skipped",
        ),
        ("def test_a(): print('9 passed in 1s'); raise SystemExit\n", "0 passed, 1 failed"),
    ],
)
async def test_tests_that_prove_nothing_do_not_pass(
    sandbox: Sandbox, folder: Path, program: str, summary: str
) -> None:
    put(folder, test_a_py=program)
    result = await only("tests", folder, sandbox)
    assert result.passed is False
    assert result.summary == summary


async def test_tests_without_an_end_are_ended(sandbox: Sandbox, folder: Path) -> None:
    put(folder, test_a_py="import time\n\ndef test_a():\n    time.sleep(100)\n")
    result = await only("tests", folder, sandbox, timeout=1.5)
    assert (result.passed, result.summary) == (False, "the tests did not end: they passed the limit of time")


@pytest.mark.parametrize("name", ["tests", "lint"])
async def test_a_check_that_cannot_run_never_passes(no_sandbox: Sandbox, folder: Path, name: str) -> None:
    result = await only(name, folder, no_sandbox)
    assert result.passed is None
    assert result.summary.startswith("not run: Code is not run: bubblewrap is not installed")


async def test_lint_finds_what_is_wrong_and_leaves_style_alone(sandbox: Sandbox, folder: Path) -> None:
    put(folder, good_py="x = 'a' ;\n", pyproject_toml='[tool.ruff]\nexclude = ["*"]\n')
    assert (await only("lint", folder, sandbox)).passed is False
    put(folder, good_py="def f( a ):\n  return a\n")
    assert (await only("lint", folder, sandbox)).passed is True
    put(folder, bad_py="import os\nprint(undefined)\n", broken_py="def (:\n")
    result = await only("lint", folder, sandbox)
    assert result.passed is False
    assert any(line.startswith("bad.py:2:7: F821") for line in result.details)
    assert any(line.startswith("broken.py:1:") for line in result.details)


SECRETS = {
    "an AWS access key": "key = AKIA" + "IOSFODNN7ABCDEFG",
    "a GitHub token": "token: ghp_" + "aB3" * 12,
    "a private key": "-----BEGIN RSA PRIVATE" + " KEY-----",
    "a model provider's key": "sk-" + "proj-abcdefghijklmnopqrstuvwx",
    "a password in an address": "postgresql://shop:" + "hunter2horse@db/shop",
    "a value that is named like a secret": 'password = "' + 'corr3ct-h0rse"',
    "a long random string": '"' + "q9Zx7Lw2Vb8Nm4Kj6Hg1Fd3Sa5Po0Iu" + 'YtRe"',
}


@pytest.mark.parametrize("what", SECRETS)
async def test_a_secret_is_named_by_place_and_never_repeated(
    no_sandbox: Sandbox, folder: Path, what: str
) -> None:
    put(folder, src__a_py=f"# fine\n{SECRETS[what]}\n")
    result = await only("secrets", folder, no_sandbox)
    assert (result.passed, result.details) == (False, (f"src/a.py:2: {what}",))


@pytest.mark.parametrize(
    "kind", ["latin-1", "utf-16", "binary", pytest.param("long", marks=pytest.mark.slow), "too long"]
)
async def test_a_secret_in_a_file_that_is_no_short_utf_8_is_found_or_the_file_is_named(
    no_sandbox: Sandbox, folder: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = "ghp_" + "aB3dE6gH9" * 4
    content = {
        "latin-1": f"Gr\xfc\xdfe\ntoken = {token}\n".encode("latin-1"),
        "utf-16": f"one\ntoken = {token}\n".encode("utf-16"),
        "binary": b"\x89PNG\r\n" + bytes(range(256)) + token.encode() + b"\xff\xfe",
        "long": b"x = 1\n" * 500_000 + token.encode() + b"\n",
        "too long": b"x = 1\n" * 100,
    }[kind]
    if kind == "too long":
        monkeypatch.setattr(secrets, "_LARGEST", 500)
    (folder / "data").write_bytes(content)
    result = await only("secrets", folder, no_sandbox)
    assert result.passed is False
    assert token not in str(result)
    (told,) = result.details
    assert ("not looked at for secrets" if kind == "too long" else "a GitHub token") in told
    clean = content.replace(token.encode("utf-16-le" if kind == "utf-16" else "ascii"), b"")
    (folder / "data").write_bytes(clean[:400] if kind == "too long" else clean)
    assert (await only("secrets", folder, no_sandbox)).passed is True


async def test_what_only_looks_like_a_secret_passes(no_sandbox: Sandbox, folder: Path) -> None:
    put(
        folder,
        a_py='password = os.environ["DB_PASSWORD"]\ntoken = "your-token-here"\napi_key = "<API_KEY>"\n'
        'url = "postgresql://user:password@localhost/db"\nPASSWORD_FIELD = "password_hash"\n'
        f'digest = "{"0123456789abcdef" * 4}"\npath = "/api/v1/some/long/path/without/anything/secret"\n',
        requirements_lock="pkg==1 --hash=sha256:" + "ab" * 32,
    )
    result = await only("secrets", folder, no_sandbox)
    assert result.passed is True, result.details


async def test_links_lead_to_files_and_headings(no_sandbox: Sandbox, folder: Path) -> None:
    put(
        folder,
        README_md="# Shop\n[guide](docs/guide.md#first-steps) [self](#shop) [out](https://example.com)\n"
        "![picture](docs/a%20b.png) [folder](docs/) `[code](none.md)` [ref]\n\n[ref]: docs/guide.md\n"
        "```\n[in code](none.md)\n```\n[mail](mailto:a@b) [root](/docs/guide.md)\n",
        docs__guide_md="## First steps\n[back](../README.md#shop)\n",
    )
    (folder / "docs" / "a b.png").write_bytes(b"")
    result = await only("links", folder, no_sandbox)
    assert (result.passed, result.details) == (True, ())
    assert result.summary == "7 links in 2 pages lead somewhere"


async def test_a_broken_link_is_named_by_place(no_sandbox: Sandbox, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "outside.md").write_text("")
    put(folder, docs__a_md="# A\n[x](none.md)\n[y](#b)\n[z](../../outside.md)\n[w](a.md#c)\n")
    result = await only("links", folder, no_sandbox)
    assert result.details == (
        "docs/a.md:2: none.md is not there",
        "docs/a.md:3: #b names no heading of docs/a.md",
        "docs/a.md:4: ../../outside.md leads out of the project",
        "docs/a.md:5: a.md#c names no heading of docs/a.md",
    )


def test_anchors_are_those_of_github() -> None:
    page = "# Hello, World!\n## Hello, World!\n### `code` & [link](x) ##\n<a id='own'></a>\n"
    assert anchors_in(page) == {"hello-world", "hello-world-1", "code--link", "own"}


def api(**more: object) -> str:
    return json.dumps(
        {"openapi": "3.1.0", "info": {"title": "a", "version": "1"}, "paths": {"/a": {}}} | more
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"a": 1,}', "a.json:1: "),
        ('{"a":\nNaN}', "a.json:1: NaN is no JSON"),
        ('{"a": 1, "a": 2}', "a.json:1: the field 'a' stands twice in one object"),
        ("[" * 100_000, "a.json:1: nested too deep"),
        ('{"openapi": "3.1.0"}', "a.json:1: info.title is missing"),
        (api(paths={}), "a.json:1: paths is missing or empty"),
        (api(x={"$ref": "#/components/schemas/A"}), "a.json:1: $ref #/components/schemas/A leads nowhere"),
    ],
)
async def test_a_document_that_is_none_is_named(
    no_sandbox: Sandbox, folder: Path, text: str, problem: str
) -> None:
    put(folder, a_json=text)
    result = await only("json", folder, no_sandbox)
    assert result.passed is False
    assert result.details[0].startswith(problem)


async def test_documents_that_are_whole_pass(no_sandbox: Sandbox, folder: Path) -> None:
    whole = api(components={"a/b": {"c": 1}}, x={"$ref": "#/components/a~1b"}, y={"$ref": "#/paths/~1a"})
    put(folder, docs__api__openapi_json=whole, other_json="[1]")
    assert (await only("json", folder, no_sandbox)).summary == "2 JSON files are well formed"


async def test_hostile_files_are_not_followed_by_a_check(
    no_sandbox: Sandbox, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "outside.json").write_text("not json")
    (folder / "a.json").symlink_to(tmp_path / "outside.json")
    (folder / "a.md").symlink_to("/etc/passwd")
    for name in ("json", "links", "secrets"):
        assert (await only(name, folder, no_sandbox)).passed is True


async def test_an_unknown_check_is_refused_before_any_is_run(no_sandbox: Sandbox, folder: Path) -> None:
    with pytest.raises(CheckUnknown):
        await run_checks(["links", "magic"], folder, no_sandbox)
