"""A hostile worktree against the host's own reading and writing."""

import ctypes
import os
import socket
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from workspace import beneath
from workspace.errors import EditFailed, FileMissing, FileTooBig, NotText, PathRefused, TreeTooBig
from workspace.files import Files, matcher


@pytest.fixture(params=["openat2", "step by step"])
def files(tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Files:
    """Both ways to open a path: the kernel's, and ours for where the kernel's is missing."""
    if request.param == "step by step":
        monkeypatch.setattr(beneath, "_has_openat2", lambda: False)
    root = tmp_path / "tree"
    root.mkdir()
    (tmp_path / "secret.txt").write_text("secret")
    return Files(root)


@pytest.fixture
def root(files: Files, tmp_path: Path) -> Path:
    return tmp_path / "tree"


def test_text_is_written_read_and_edited(files: Files, root: Path) -> None:
    files.write("src/app/main.py", "one\ntwo é\n")
    files.edit("src/app/main.py", "two", "2")
    assert files.read("src/app/main.py") == "one\n2 é\n"
    assert files.exists("src/app/main.py")
    assert files.size("src/app/main.py") == 9
    assert [path.name for path in (root / "src/app").iterdir()] == ["main.py"]


def test_writing_keeps_a_script_executable(files: Files, root: Path) -> None:
    files.write("run.sh", "#!/bin/sh\n")
    (root / "run.sh").chmod(0o4755)
    files.write("run.sh", "#!/bin/sh\ntrue\n")
    assert (root / "run.sh").stat().st_mode & 0o7777 == 0o755


@pytest.mark.parametrize("path", ["..", "../secret.txt", "a/../../secret.txt", "a/..", "a/../b"])
def test_a_path_with_dots_is_refused(files: Files, path: str) -> None:
    assert_refused(files, path)


@pytest.mark.parametrize("path", ["/etc/passwd", "//etc/passwd", "/", "/proc/self/cwd/a"])
def test_an_absolute_path_is_refused(files: Files, path: str) -> None:
    assert_refused(files, path)


@pytest.mark.parametrize(
    "path", [".git/config", "a/.git/hooks/pre-commit", ".GIT/config", ".git", ".git./x", "git~1/x", ".git /x"]
)
def test_a_path_of_gits_own_is_refused(files: Files, path: str) -> None:
    assert_refused(files, path)


@pytest.mark.parametrize("path", ["", ".", "a\nb", "a\0b", "a\x1b[31m", "\u202egpj.sh", "x" * 2000])
def test_a_path_that_is_none_or_cannot_be_shown_is_refused(files: Files, path: str) -> None:
    assert_refused(files, path)


def assert_refused(files: Files, path: str) -> None:
    for use in (files.read, lambda p: files.write(p, "x"), lambda p: files.edit(p, "x", "y"), files.size):
        with pytest.raises(PathRefused):
            use(path)
    assert not files.exists(path)


def test_a_symlink_is_followed_nowhere(files: Files, root: Path, tmp_path: Path) -> None:
    (root / "out.txt").symlink_to("../secret.txt")
    (root / "absolute.txt").symlink_to(tmp_path / "secret.txt")
    (root / "folder").symlink_to("..")
    (root / "real.txt").write_text("real")
    (root / "inside.txt").symlink_to("real.txt")
    for path in ("out.txt", "absolute.txt", "folder/secret.txt", "inside.txt", "folder/new.txt"):
        with pytest.raises(PathRefused):
            files.read(path)
        with pytest.raises(PathRefused):
            files.write(path, "x")
    assert (tmp_path / "secret.txt").read_text() == "secret"
    assert not (tmp_path / "new.txt").exists()
    assert files.list() == ["real.txt"]


def test_a_symlink_swapped_in_between_check_and_use_gains_nothing(
    files: Files, root: Path, tmp_path: Path
) -> None:
    (root / "a").mkdir()
    (root / "a" / "secret.txt").write_text("harmless")
    (root / "b").symlink_to("..")
    stop = threading.Event()

    exchange = ctypes.CDLL(None).renameat2
    pair = (-100, os.fsencode(root / "a"), -100, os.fsencode(root / "b"), 2)

    def swap() -> None:
        while not stop.is_set():
            assert exchange(*pair) == 0

    swapping = threading.Thread(target=swap)
    swapping.start()
    try:
        for _ in range(300):
            with suppress(PathRefused, FileMissing):
                assert files.read("a/secret.txt") == "harmless"
            with suppress(PathRefused, FileMissing):
                files.write("a/written.txt", "x")
    finally:
        stop.set()
        swapping.join()
    assert not (tmp_path / "written.txt").exists()


def test_a_hard_link_to_a_file_outside_is_refused(files: Files, root: Path, tmp_path: Path) -> None:
    os.link(tmp_path / "secret.txt", root / "a.txt")
    with pytest.raises(PathRefused, match="hard link"):
        files.read("a.txt")
    with pytest.raises(PathRefused, match="hard link"):
        files.write("a.txt", "x")


def test_a_fifo_is_refused_at_once(files: Files, root: Path) -> None:
    os.mkfifo(root / "fifo")
    assert_refused_as_file(files, "fifo")
    with pytest.raises(PathRefused):
        files.write("fifo/x", "x")


def test_a_folder_is_no_file(files: Files, root: Path) -> None:
    (root / "folder").mkdir()
    assert_refused_as_file(files, "folder")


def test_a_socket_is_refused_at_once(files: Files, root: Path) -> None:
    here = os.getcwd()
    with socket.socket(socket.AF_UNIX) as listener:
        os.chdir(root)
        try:
            listener.bind("socket")
        finally:
            os.chdir(here)
        assert_refused_as_file(files, "socket")


def test_a_device_is_refused_at_once(files: Files, root: Path) -> None:
    try:
        os.mknod(root / "null", 0o020666, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("only user 0 can make a device to try this with")
    assert_refused_as_file(files, "null")


def assert_refused_as_file(files: Files, path: str) -> None:
    with pytest.raises(PathRefused):
        files.read(path)
    with pytest.raises(PathRefused):
        files.write(path, "x")


def test_a_file_too_big_is_neither_read_nor_written(files: Files, root: Path) -> None:
    with open(root / "big", "wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(FileTooBig):
        files.read("big")
    with pytest.raises(FileTooBig):
        files.read("big", limit=10)
    with pytest.raises(FileTooBig):
        files.write("new", "x" * 3_000_000)
    assert files.search("x") == []


def test_errors_say_what_is_wrong(files: Files, root: Path) -> None:
    (root / "binary").write_bytes(b"\xff\xfe")
    files.write("a.txt", "x x")
    with pytest.raises(FileMissing):
        files.read("none.txt")
    with pytest.raises(FileMissing):
        files.read("a.txt/b")
    with pytest.raises(NotText):
        files.read("binary")
    for text in ("", "y", "x"):
        with pytest.raises(EditFailed):
            files.edit("a.txt", text, "z")
    assert files.read("a.txt") == "x x"


def test_files_are_listed_and_searched_by_glob(files: Files) -> None:
    for path in ("a.py", "src/b.py", "src/deep/c.py", "src/deep/c.txt", "__pycache__/d.py", ".venv/e.py"):
        files.write(path, f"# {path}\nfind me\n")
    assert files.list() == ["a.py", "src/b.py", "src/deep/c.py", "src/deep/c.txt"]
    assert files.list("*.py") == ["a.py"]
    assert files.list("src/**") == ["src/b.py", "src/deep/c.py", "src/deep/c.txt"]
    assert files.list("**/*.py") == ["a.py", "src/b.py", "src/deep/c.py"]
    assert files.list("src/*/c.*") == ["src/deep/c.py", "src/deep/c.txt"]
    (match,) = files.search("find", "src/*.py")
    assert (match.path, match.line, match.text) == ("src/b.py", 2, "find me")
    with pytest.raises(PathRefused):
        files.search("(")
    assert matcher("a[1].py")("a[1].py")


def test_a_tree_too_deep_to_walk_is_told(files: Files, root: Path) -> None:
    folder = os.open(root, os.O_RDONLY)
    for _ in range(300):
        os.mkdir("d", dir_fd=folder)
        inner = os.open("d", os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = inner
    os.close(folder)
    with pytest.raises(TreeTooBig):
        files.list()
