"""Packages that attack: each by its name, through the real installer in the real sandbox."""

import stat
import zipfile
from pathlib import Path

import pytest

from tests.doubles.wheels import wheel
from tests.workspace.test_dependencies import Place, faults, place
from workspace.dependencies.archive import MOST_FILES, WheelRefused, look

__all__ = ["place"]  # the fixture


def entry(name: str, mode: int = stat.S_IFREG | 0o644) -> zipfile.ZipInfo:
    made = zipfile.ZipInfo(name)
    made.external_attr = mode << 16
    return made


@pytest.mark.parametrize(
    "name", ["../evil.py", "alpha/../../evil.py", "/etc/cron.d/evil", "C:/evil", "..\\evil.py", "a\nb", "./x"]
)
async def test_a_path_in_a_wheel_that_leads_out_is_refused(place: Place, name: str) -> None:
    wheel(place.house, "alpha", extra=[(entry(name), b"print('evil')")])
    assert faults(await place.fetch("alpha\n")) == [("archive", "alpha")]
    assert not list(place.folder.rglob("evil*"))


async def test_a_link_or_device_in_a_wheel_is_refused(place: Place) -> None:
    for kind in (stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO):
        wheel(place.house, "alpha", extra=[(entry("alpha/passwd", kind | 0o777), b"/etc/passwd")])
        assert faults(await place.fetch("alpha\n")) == [("archive", "alpha")]


async def test_a_pth_file_that_would_run_at_each_start_is_refused(place: Place) -> None:
    canary = "import os; open('/canary', 'w')\n"
    wheel(place.house, "alpha", files={"alpha.py": "", "alpha-start.pth": canary})
    found = await place.fetch("alpha\n")
    assert (faults(found), ".pth" in found.failures[0].why) == ([("archive", "alpha")], True)
    wheel(place.house, "alpha", files={"alpha.py": "", "alpha-1.0.data/purelib/alpha.pth": canary})
    assert faults(await place.fetch("alpha\n")) == [("archive", "alpha")]


@pytest.mark.parametrize(
    "module", ["sitecustomize.py", "usercustomize/__init__.py", "json.py", "os/__init__.py"]
)
async def test_a_module_that_every_python_would_import_is_refused(place: Place, module: str) -> None:
    wheel(place.house, "alpha", files={module: "print('evil')\n"})
    assert faults(await place.fetch("alpha\n")) == [("archive", "alpha")]
    wheel(place.house, "alpha", files={f"alpha-1.0.data/data/{module}": "print('evil')\n"})
    assert faults(await place.fetch("alpha\n")) == [("archive", "alpha")]


@pytest.mark.parametrize(
    "module", ["pytest/__init__.py", "_pytest/main.py", "coverage.py", "pluggy/__init__.py"]
)
async def test_a_module_in_the_place_of_a_tool_that_judges_is_refused(place: Place, module: str) -> None:
    wheel(place.house, "alpha", files={module: "raise SystemExit(0)\n"})
    found = await place.fetch("alpha\n")
    assert (faults(found), "judges" in found.failures[0].why) == ([("archive", "alpha")], True)


async def test_a_console_script_takes_nobodys_place(place: Place) -> None:
    info = {
        "alpha-1.0.dist-info/entry_points.txt": "[console_scripts]\npython = alpha:main\ngit = alpha:main\n"
    }
    scripts = {"alpha-1.0.data/scripts/ruff": "#!python\nprint('evil')\n"}
    wheel(place.house, "alpha", files={"alpha.py": "def main(): print('evil')\n", **info, **scripts})
    made = await place.install("alpha\n")
    assert not (made.libraries / "bin").exists()
    program = "import shutil; print([shutil.which(p) for p in ('python', 'git', 'ruff')])"
    assert "/libraries" not in await place.python(made, program)


async def test_an_archive_bomb_in_a_wheel_is_refused_before_it_is_unpacked(place: Place) -> None:
    path = wheel(place.house, "alpha")
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        for number in range(11):
            with archive.open(f"alpha{number}.bin", "w") as stream:
                for _ in range(100):
                    stream.write(bytes(1_000_000))
    assert path.stat().st_size < 5_000_000
    found = await place.fetch("alpha\n")
    assert (faults(found), "bomb" in found.failures[0].why) == ([("archive", "alpha")], True)


def test_more_files_than_a_wheel_has_are_refused(tmp_path: Path) -> None:
    many = {f"alpha/{number}.py": "" for number in range(MOST_FILES)}
    with pytest.raises(WheelRefused, match="files"):
        look(wheel(tmp_path, "alpha", files=many))


async def test_a_wheel_that_overwrites_another_packages_file_is_refused(place: Place) -> None:
    wheel(place.house, "alpha", needs=["beta"])
    wheel(place.house, "beta", files={"beta.py": "", "alpha.py": "print('evil')\n"})
    found = await place.fetch("alpha\n")
    assert "both install alpha.py" in found.failures[0].why


def test_a_wheel_under_another_packages_name_is_refused(tmp_path: Path) -> None:
    made = wheel(tmp_path, "evil")
    with pytest.raises(WheelRefused):
        look(made.rename(tmp_path / "alpha-1.0-py3-none-any.whl"))
    with pytest.raises(WheelRefused, match="file name"):
        look(wheel(tmp_path, "beta").rename(tmp_path / "alpha.whl"))


def test_a_file_that_is_no_archive_or_no_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "alpha-1.0-py3-none-any.whl"
    path.write_bytes(b"PK\x03\x04 not really")
    with pytest.raises(WheelRefused):
        look(path)
    path.unlink()
    path.symlink_to("/etc/passwd")
    with pytest.raises((WheelRefused, OSError)):
        look(path)


async def test_nothing_of_a_package_runs_while_it_is_installed(place: Place) -> None:
    evil = "raise SystemExit('ran')\n"
    files = {"alpha/__init__.py": evil, "setup.py": evil, "alpha-1.0.dist-info/pyproject.toml": evil}
    wheel(place.house, "alpha", files=files)
    made = await place.install("alpha\n")
    assert (made.libraries / "alpha" / "__init__.py").read_text() == evil
