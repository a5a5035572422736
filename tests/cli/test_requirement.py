"""The requirement as a person gives it: what is taken, and what each bad one is told."""

import io
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from cli import requirement
from cli.requirement import (
    LIMIT,
    RequirementEmpty,
    RequirementNotFound,
    RequirementNotText,
    RequirementTooBig,
    read,
)


def _stdin(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(data), isatty=lambda: False))


def test_a_text_is_the_requirement() -> None:
    assert read("  A service that lends tools. ") == "A service that lends tools."


def test_a_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "wish.md"
    file.write_bytes("\ufeff# Größe\r\nzählt\r\n".encode())
    assert read(str(file)) == "# Größe\nzählt"


def test_standard_input_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    _stdin(monkeypatch, b"A to-do list\n")
    assert read("-") == "A to-do list"


@pytest.mark.parametrize("text", ["", "   \n\t ", "---", "…!"])
def test_a_requirement_without_a_word_is_empty(text: str) -> None:
    with pytest.raises(RequirementEmpty):
        read(text)


@pytest.mark.parametrize(
    "given",
    [
        "wish.md",
        "./wish",
        "docs/wish.txt",
        "~/wish of mine.md",
        "/nowhere/wish.md",
        "../a wish.md",
        "todo.txt",
    ],
)
def test_a_missing_path_is_a_mistake_and_no_requirement(given: str) -> None:
    with pytest.raises(RequirementNotFound) as raised:
        read(given)
    assert raised.value.exit_code == 2
    assert raised.value.untouched
    assert raised.value.todo


@pytest.mark.parametrize(
    "given",
    [
        "Write a converter that reads README.md",
        "A list of films and/or books",
        "/health answers ok",
        "Blog",
        "To-do: a list.",
        "a" * 5000 + " b",
        "line one\nsecond/line.md",
    ],
)
def test_a_sentence_is_never_taken_for_a_path(given: str) -> None:
    assert read(given) == given


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequirementNotFound, match="folder"):
        read(str(tmp_path))


@pytest.mark.parametrize("data", [b"\xff\xfeA\x00", "größer".encode("latin-1"), b"ok \x80"])
def test_other_encodings_are_refused_with_the_place(data: bytes, tmp_path: Path) -> None:
    file = tmp_path / "wish.txt"
    file.write_bytes(data)
    with pytest.raises(RequirementNotText, match="byte"):
        read(str(file))


def test_binary_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "wish.bin"
    file.write_bytes(b"\x7fELF\x00\x01\x02 all of it ascii")
    with pytest.raises(RequirementNotText, match="binary"):
        read(str(file))


def test_bytes_of_the_command_line_that_are_no_text_are_refused() -> None:
    with pytest.raises(RequirementNotText):
        read(os.fsdecode(b"caf\xe9 with a list"))


def test_five_megabytes_are_refused_from_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    big = "word " * 1_000_000
    file = tmp_path / "big.md"
    file.write_text(big)
    with pytest.raises(RequirementTooBig):
        read(str(file))
    with pytest.raises(RequirementTooBig):
        read(big)
    _stdin(monkeypatch, big.encode())
    with pytest.raises(RequirementTooBig):
        read("-")


def test_an_endless_device_does_not_hang() -> None:
    with pytest.raises(RequirementTooBig):
        read("/dev/zero")


def test_exactly_the_limit_is_taken(tmp_path: Path) -> None:
    file = tmp_path / "wish.txt"
    file.write_text("w" * LIMIT)
    assert len(read(str(file))) == LIMIT


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_without_permission_is_said(tmp_path: Path) -> None:
    file = tmp_path / "wish.txt"
    file.write_text("secret wish")
    file.chmod(0)
    with pytest.raises(RequirementNotFound, match="cannot be read"):
        read(str(file))


def test_a_pipe_can_be_the_file(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.write(writing, b"from a process substitution")
    os.close(writing)
    try:
        assert read(f"/dev/fd/{reading}") == "from a process substitution"
    finally:
        os.close(reading)


def test_looks_like_path_never_fails_on_odd_text() -> None:
    for odd in ("\x00", "~nobody-there/x", "a" * 10_000, "//", "\\"):
        assert isinstance(requirement.looks_like_path(odd), bool)
