"""`factory project`."""

import json
from pathlib import Path

import pytest

from cli.main import call
from core.settings import Settings

URL = "https://github.com/ada/shop.git"
TOKEN = "ghp_" + "a1B2" * 9


@pytest.mark.usefixtures("in_process")
def test_a_remote_is_set_and_shown(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["project", "set-remote", "shop", URL, "--forge", "github", "--token-env", "SHOP_TOKEN"]
    assert call([*words, "--json"]) == 0
    set_to = json.loads(capsys.readouterr().out)
    assert call(["project", "show", "shop", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == set_to
    assert set_to["remote"]["token_env"] == "SHOP_TOKEN"
    assert Path(set_to["file"]) == settings.home / "projects" / "shop" / "project.toml"
    assert call(["project", "show", "shop"]) == 0
    assert URL in capsys.readouterr().out


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize(
    "words",
    [
        ["set-remote", "shop", URL, "--forge", "bitbucket"],
        ["set-remote", "shop", "http://github.com/ada/shop", "--forge", "github"],
        ["set-remote", "shop", URL, "--forge", "github", "--token-env", TOKEN],
        ["set-remote", "../shop", URL, "--forge", "github"],
        ["show", "../shop"],
    ],
)
def test_what_cannot_be_used_ends_with_2_writes_nothing_and_repeats_no_token(
    settings: Settings, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    assert call(["project", *words]) == 2
    told = capsys.readouterr()
    assert TOKEN not in told.out + told.err
    assert not (settings.home / "projects").exists()
