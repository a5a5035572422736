"""The installer of the set-up: by uv from where pip looks, else by pip; only files with the lock's hash."""

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.install_lock import entry_of_uv, told_to_uv
from tests.doubles.wheels import Index, digest, index, wheel

_ROOT = Path(__file__).parents[2]
_UV = Path(sys.executable).with_name("uv")


class House:
    """A clone with a virtual environment, and an index that has `alpha` and uv."""

    def __init__(self, folder: Path, serving: Index) -> None:
        self.index = serving
        self.wheels = folder / "wheels"
        self.clone = folder / "clone"
        (self.clone / "scripts").mkdir(parents=True)
        shutil.copy(_ROOT / "scripts" / "install_lock.py", self.clone / "scripts")
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", self.clone / ".venv"], check=True)
        (self.packages,) = (self.clone / ".venv" / "lib").glob("python*/site-packages")
        # The tests' pip, which the set-up's environment has from `ensurepip`.
        (self.packages / "pip.pth").write_text(str(Path(pytest.__file__).parents[1]), encoding="utf-8")

    def lock(self, name: str, of: str, sha256: str | None = None) -> str:
        """A lock of one wheel; with the right hash where none is given."""
        (file,) = self.wheels.glob(f"{of}-*.whl")
        text = f"{of}==1.0 \\\n    --hash=sha256:{sha256 or digest(file)}\n"
        (self.clone / name).write_text(text, encoding="utf-8")
        return name

    def install(self, lock: str, **variables: str) -> "subprocess.CompletedProcess[str]":
        """Call the installer as `scripts/setup` does."""
        env = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_"))}
        env |= {"PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": self.index.url, "PIP_RETRIES": "0"}
        env |= {"UV_CACHE_DIR": str(self.clone / "cache")}
        command = [self.clone / ".venv" / "bin" / "python", "scripts/install_lock.py", lock]
        return subprocess.run(
            command, cwd=self.clone, env=env | variables, capture_output=True, text=True, check=False
        )

    def installer(self) -> str | None:
        """Who installed `alpha`, as its record says; None when nobody did."""
        file = self.packages / "alpha-1.0.dist-info" / "INSTALLER"
        return file.read_text(encoding="utf-8").strip() if file.exists() else None


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("index")
    wheel(folder, "alpha")
    # uv's real program, in a small wheel: the file hands over to it.
    program = zipfile.ZipInfo("uv-1.0.data/scripts/uv")
    program.external_attr = 0o100755 << 16
    wheel(folder, "uv", files={}, extra=[(program, f'#!/bin/sh\nexec "{_UV}" "$@"\n'.encode())])
    return folder


@pytest.fixture
def house(tmp_path: Path, wheels: Path) -> Iterator[House]:
    shutil.copytree(wheels, tmp_path / "wheels")
    with index(tmp_path / "wheels") as serving:
        yield House(tmp_path, serving)


def test_uv_installs_from_where_pip_looks_and_leaves_nothing_of_itself(house: House) -> None:
    house.lock("requirements-dev.lock", "uv")
    # What the caller tells uv for other work of theirs neither leads elsewhere nor switches the hashes off.
    elsewhere = {"UV_DEFAULT_INDEX": "http://127.0.0.1:9/simple", "UV_NO_VERIFY_HASHES": "1"}
    done = house.install(house.lock("runtime.lock", "alpha"), **elsewhere)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert house.installer() == "uv"
    assert list((house.packages / "__pycache__").glob("alpha.*.pyc"))
    assert not list((house.clone / ".venv").glob(".uv-*"))
    assert not list(house.packages.glob("uv*"))


@pytest.mark.parametrize("wrong", ["alpha", "uv"])
def test_a_file_that_is_not_the_locks_is_installed_by_nobody(house: House, wrong: str) -> None:
    house.lock("requirements-dev.lock", "uv", "0" * 64 if wrong == "uv" else None)
    done = house.install(house.lock("runtime.lock", "alpha", "0" * 64 if wrong == "alpha" else None))
    assert "hash" in done.stderr.lower()
    if wrong == "alpha":
        assert done.returncode != 0
        assert house.installer() is None
    else:
        assert (done.returncode, house.installer()) == (0, "pip")


def test_an_option_of_pip_that_uv_has_no_word_for_leaves_it_to_pip(house: House) -> None:
    house.lock("requirements-dev.lock", "uv")
    done = house.install(house.lock("runtime.lock", "alpha"), PIP_NO_BINARY="beta")
    assert (done.returncode, house.installer()) == (0, "pip")
    assert "set-up: not by uv" in done.stderr


def test_uv_is_told_each_place_in_its_own_words() -> None:
    said = told_to_uv(
        {
            "index-url": "https://packages.test/simple",
            "extra-index-url": "https://one.test/\nhttps://two.test/",
            "find-links": "wheels more",
            "no-index": "true",
            "timeout": "60",
            "retries": "2",
        }
    )
    assert said is not None
    arguments, told = said
    assert arguments[2:] == ["--find-links", "wheels", "--find-links", "more", "--no-index"]
    assert told == {
        "UV_NO_CONFIG": "1",
        "UV_DEFAULT_INDEX": "https://packages.test/simple",
        "UV_INDEX": "https://one.test/ https://two.test/",
        "UV_HTTP_TIMEOUT": "60",
    }


def test_uvs_entry_is_taken_with_its_hashes_and_nothing_else() -> None:
    lock = (_ROOT / "requirements-dev.lock").read_text(encoding="utf-8")
    first, *hashes = entry_of_uv(lock).splitlines()
    assert first.startswith("uv==")
    assert hashes
    assert all(line.strip().startswith("--hash=sha256:") for line in hashes)
    assert entry_of_uv("alpha==1.0 \\\n    --hash=sha256:00\n") == ""
