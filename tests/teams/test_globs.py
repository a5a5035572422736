"""Which paths a glob means."""

import time

import pytest

from teams import globs

MATCHES = [
    ("src/**", "src/a.py", True),
    ("src/**", "src/a/b/c.py", True),
    ("src/**", "src", False),
    ("src/**", "srcs/a.py", False),
    ("src/**", "src/.hidden", True),
    ("**", "a", True),
    ("**", "a/b", True),
    ("**/*.py", "a.py", True),
    ("**/*.py", "a/b/c.py", True),
    ("**/*.py", "a/b/c.pyc", False),
    ("src/*/*.py", "src/a/b.py", True),
    ("src/*/*.py", "src/b.py", False),
    ("src/*/*.py", "src/a/b/c.py", False),
    ("src/**/web/*", "src/a/b/web/x", True),
    ("src/**/web/*", "src/web/x", True),
    ("src/**/web/*", "src/web/x/y", False),
    ("tests/unit/test_*.py", "tests/unit/test_a.py", True),
    ("tests/unit/test_*.py", "tests/unit/testa.py", False),
    ("requirements*.txt", "requirements.txt", True),
    ("requirements*.txt", "requirements-dev.txt", True),
    ("requirements*.txt", "a/requirements.txt", False),
    ("?.py", "a.py", True),
    ("?.py", "ab.py", False),
    ("LICENSE", "license", False),
    (".gitignore", ".gitignore", True),
    ("a*b*c", "aXbYc", True),
    ("a*b*c", "aXbY", False),
    ("**/a/**/b", "x/a/a/y/b", True),
    ("**/a/**/b", "x/a/a/y/c", False),
    ("src/**", "../src/a", False),
    ("**", "../etc/passwd", False),
    ("**", "/etc/passwd", False),
    ("**", "a//b", False),
    ("**", "./a", False),
    ("**", "", False),
]


@pytest.mark.parametrize(("pattern", "path", "expected"), MATCHES)
def test_a_glob_means_these_paths(pattern: str, path: str, expected: bool) -> None:
    assert globs.problem(pattern) is None
    assert globs.matches(pattern, path) is expected


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        " a",
        "/a",
        "a//b",
        "../a",
        "a/../b",
        "./a",
        "a/",
        "a**",
        "**b/c",
        "a[b]",
        "{a,b}",
        "!a",
        "a\\b",
        ".git/hooks/*",
        "a/.GIT/b",
        "a\nb",
    ],
)
def test_what_is_no_sound_glob_is_refused_with_a_reason(pattern: str) -> None:
    assert globs.problem(pattern)


@pytest.mark.parametrize("pattern", ["src/**", "**/*.py", "docs/adr/*.md", "?x", "src/*/migrations/**"])
def test_a_sample_of_a_glob_is_meant_by_it(pattern: str) -> None:
    assert globs.matches(pattern, globs.sample(pattern))


def test_no_pattern_is_slow() -> None:
    started = time.process_time()
    assert not globs.matches("**/a" * 0 + "a*" * 60 + "b", "a" * 3000)
    assert not globs.matches("/".join(["**", "a"] * 30) + "/b", "/".join(["a"] * 400))
    assert time.process_time() - started < 5


@pytest.mark.parametrize(
    ("one", "other", "meet"),
    [
        ("src/**", "src/*/web/**", True),
        ("src/**", "tests/**", False),
        ("src/*/data/**", "src/*/web/**", False),
        ("docs/*.md", "docs/a*", True),
        ("docs/*.md", "docs/*.txt", False),
        ("**", "pyproject.toml", True),
        ("src/**", "src", False),
        ("a?c", "ab*", True),
        ("**/x/**", "y/**/z", True),
        ("a*b*c", "*d", False),
    ],
)
def test_two_patterns_overlap_where_there_can_be_a_path_of_both(one: str, other: str, meet: bool) -> None:
    assert globs.overlap(one, other) is meet
    assert globs.overlap(other, one) is meet
