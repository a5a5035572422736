"""The product's page, opened by a real browser in the sandbox."""

from pathlib import Path

import pytest

from tests.workspace.checking import fill, only
from workspace.checks import browser
from workspace.declared import Page
from workspace.files import Files
from workspace.project_settings import ProjectSettings
from workspace.sandbox import Sandbox

PAGE = "<!doctype html><html lang='en'><title>Shop</title><h1>Shop</h1><script>{}</script></html>\n"


@pytest.fixture
def chromium() -> None:
    if not browser.find():
        pytest.skip("no Chromium on this machine")


@pytest.mark.usefixtures("chromium")
async def test_a_page_is_shown_and_photographed(sandbox: Sandbox, folder: Path) -> None:
    fill(folder, {"web/index.html": PAGE.format("")})
    result = await only("browser", folder, sandbox)
    assert result.passed is True, result
    (picture,) = result.artifacts
    assert picture.name == "page.png"
    assert picture.content.startswith(b"\x89PNG")
    assert sorted(path.name for path in folder.rglob("*")) == ["index.html", "web"]


@pytest.mark.usefixtures("chromium")
async def test_a_script_that_fails_is_named(sandbox: Sandbox, folder: Path) -> None:
    fill(folder, {"index.html": PAGE.format("\nshop.open()")})
    result = await only("browser", folder, sandbox)
    assert result.passed is False
    assert "shop is not defined" in result.details[0]
    assert result.artifacts


@pytest.mark.usefixtures("chromium")
@pytest.mark.parametrize("command", ["exit 1", "sleep 60"])
async def test_a_page_that_does_not_answer_fails(sandbox: Sandbox, folder: Path, command: str) -> None:
    settings = ProjectSettings(page=Page(command=command, seconds=1))
    result = await only("browser", folder, sandbox, settings=settings)
    assert (result.passed, result.score) == (False, 0)
    assert "does not answer within 1 s" in result.details[0]


@pytest.mark.usefixtures("chromium")
async def test_a_page_reaches_nothing_outside_its_sandbox(sandbox: Sandbox, folder: Path) -> None:
    fill(folder, {"index.html": PAGE.format("fetch('http://192.0.2.1/').catch(e => missing(e))")})
    result = await only("browser", folder, sandbox)
    assert result.passed is False
    assert any("ERR_" in line or "is not defined" in line for line in result.details)


async def test_without_a_page_there_is_nothing_to_look_at(sandbox: Sandbox, folder: Path) -> None:
    result = await only("browser", folder, sandbox)
    assert (result.passed, result.idle) == (None, True)


async def test_without_a_browser_it_is_not_run(
    sandbox: Sandbox, folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fill(folder, {"index.html": PAGE.format("")})
    monkeypatch.setenv("PATH", str(tmp_path))
    result = await only("browser", folder, sandbox)
    assert (result.passed, result.idle) == (None, False)
    assert "no browser on this machine" in result.summary


@pytest.mark.parametrize("content", ["", "not base64!", "aGVsbG8=", "x" * 100])
def test_a_picture_that_is_none_is_not_kept(content: str) -> None:
    assert browser._picture(content) is None  # pyright: ignore[reportPrivateUsage]


@pytest.mark.parametrize(
    ("files", "command"),
    [
        ({"a.py": ""}, ""),
        ({"docs/index.html": ""}, ""),
        ({"a b/index.html": ""}, "--directory 'a b'"),
        ({"it's/index.html": ""}, "--directory 'it'\\''s'"),
        ({"src/shop/web/index.html": "", "src/shop/__main__.py": "--port"}, "python -m shop --port {port}"),
    ],
)
def test_how_a_page_is_served_is_guessed(folder: Path, files: dict[str, str], command: str) -> None:
    page = browser.guess(Files(fill(folder, files)))
    assert (page is None) == (not command)
    assert page is None or command in page.command
