"""project.toml: what it may say, who may say it, and that a wrong one names file, key and what is allowed."""

import os
from pathlib import Path

import pytest

from workspace import project_settings
from workspace.project_settings import ProjectSettingsInvalid
from workspace.remote import Remote, TokenMissing

TOKEN = "ghp_" + "a1B2" * 9
GOOD = '[remote]\nurl = "https://github.com/ada/shop.git"\nforge = "github"\ntoken_env = "SHOP_TOKEN"\n'


def write(home: Path, text: str) -> Path:
    path = project_settings.operators_file(home, "shop")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_without_a_file_nothing_is_set(tmp_path: Path) -> None:
    assert project_settings.load_operators(tmp_path, "shop").remote is None


def test_the_operators_file_sets_the_remote(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    remote = project_settings.load_operators(tmp_path, "shop").remote
    assert remote is not None
    assert (remote.path, remote.endpoint) == ("ada/shop", "https://api.github.com")
    assert remote.branch("run-1") == "factory/run-1"


async def test_what_the_operator_changes_counts_at_once_however_often_it_was_read(tmp_path: Path) -> None:
    told: list[int] = []
    for tokens in (100, 200, 300):
        path = write(tmp_path, f"[memory]\nbrief_tokens = {tokens}\n")
        if tokens == 100:
            os.utime(path, (1_000_000, 1_000_000))  # written long ago, so that what it says may be kept
        for _ in range(2):
            told.append((await project_settings.operators(tmp_path, "shop")).memory.brief_tokens)
            told.append(project_settings.load_operators(tmp_path, "shop").memory.brief_tokens)
    assert told == [100] * 4 + [200] * 4 + [300] * 4
    path.unlink()
    assert (await project_settings.operators(tmp_path, "shop")).memory.brief_tokens == 2_000
    write(tmp_path, "[memory]\nbrief_tokens = -1\n")
    for _ in range(2):
        with pytest.raises(ProjectSettingsInvalid):
            await project_settings.operators(tmp_path, "shop")


@pytest.mark.parametrize(
    ("url", "forge", "path", "endpoint"),
    [
        ("git@github.com:ada/shop.git", "github", "ada/shop", "https://api.github.com"),
        ("https://code.example.org/ada/shop", "github", "ada/shop", "https://code.example.org/api/v3"),
        ("https://gitlab.com/a/b/shop.git", "gitlab", "a/b/shop", "https://gitlab.com/api/v4"),
        (
            "ssh://git@git.example.org:2222/ada/shop.git",
            "gitea",
            "ada/shop",
            "https://git.example.org/api/v1",
        ),
    ],
)
def test_where_the_api_is_follows_from_the_address(url: str, forge: str, path: str, endpoint: str) -> None:
    remote = Remote.model_validate({"url": url, "forge": forge})
    assert (remote.path, remote.endpoint) == (path, endpoint)


@pytest.mark.parametrize(
    ("text", "key", "allowed"),
    [
        ("remotes = 1\n", "remotes", "remote"),
        (GOOD + "tokn = 'x'\n", "tokn", "token_env"),
        (GOOD + "token = 'x'\n", "token", "token_env"),
        (GOOD.replace('"github"', '"bitbucket"'), "remote.forge", "gitlab"),
        (GOOD.replace("https:", "http:"), "remote.url", "https"),
        (GOOD.replace("https://", "https://ada:pw@"), "remote.url", "token_env"),
        (GOOD.replace("https://github.com", "ftp://github.com"), "remote.url", "https"),
        (GOOD.replace("https://", "-"), "remote.url", "address"),
        (GOOD.replace("https://github.com/ada/shop.git", "ext::sh -c touch"), "remote.url", "address"),
        (GOOD.replace("https://github.com/ada/shop.git", "ext::sh"), "remote.url", "https"),
        (GOOD.replace("SHOP_TOKEN", "SHOP-TOKEN"), "remote.token_env", "environment variable"),
        (GOOD + "branch_prefix = '../'\n", "remote.branch_prefix", "factory/"),
        (GOOD + "branch_prefix = '-f'\n", "remote.branch_prefix", "factory/"),
        (GOOD + "base = 'a..b'\n", "remote.base", "branch"),
        (GOOD + "api = 'http://example.org'\n", "remote.api", "https"),
        (GOOD + "repository = '../x'\n", "remote.repository", "owner/name"),
        ("[remote]\nurl = '/srv/shop.git'\nforge = 'gitea'\n", "remote", "repository"),
        ("[remote]\nurl = 3\nforge = 'gitea'\n", "remote.url", "string"),
        ("[remote\n", "TOML", "TOML"),
    ],
)
def test_what_cannot_be_used_names_file_key_and_what_is_allowed(
    tmp_path: Path, text: str, key: str, allowed: str
) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ProjectSettingsInvalid) as raised:
        project_settings.load_operators(tmp_path, "shop")
    told = str(raised.value)
    assert str(path) in told
    assert key in told
    assert allowed in told
    assert raised.value.exit_code == 2


@pytest.mark.parametrize(
    "text",
    [
        GOOD.replace("SHOP_TOKEN", TOKEN),
        GOOD + f"token = '{TOKEN}'\n",
        GOOD + f"{TOKEN} = 'x'\n",
        GOOD.replace("https://", f"https://x:{TOKEN}@"),
    ],
)
def test_a_token_in_the_file_is_refused_and_not_repeated(tmp_path: Path, text: str) -> None:
    write(tmp_path, text)
    with pytest.raises(ProjectSettingsInvalid) as raised:
        project_settings.load_operators(tmp_path, "shop")
    assert TOKEN not in str(raised.value)
    assert TOKEN not in repr(raised.value.__cause__)


def test_the_repositorys_copy_cannot_set_where_code_and_tokens_go(tmp_path: Path) -> None:
    evil = 'description = "A shop"\n' + GOOD.replace("ada/shop", "mallory/loot")
    loaded = project_settings.load(tmp_path, "shop", evil)
    assert loaded.settings.remote is None
    assert loaded.settings.description == "A shop"
    assert loaded.left_out == ("remote",)


def test_the_operators_file_wins_over_the_repositorys(tmp_path: Path) -> None:
    write(tmp_path, 'description = "Ours"\n' + GOOD)
    loaded = project_settings.load(tmp_path, "shop", 'description = "Theirs"\n')
    assert loaded.settings.description == "Ours"
    assert loaded.settings.remote is not None
    assert loaded.left_out == ()


def test_a_bad_copy_in_the_repository_names_itself(tmp_path: Path) -> None:
    with pytest.raises(ProjectSettingsInvalid, match="in the repository of shop"):
        project_settings.load(tmp_path, "shop", "nonsense = 1\n")


def test_the_token_is_read_from_a_variable_or_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fields = {"url": "https://github.com/ada/shop", "forge": "github"}
    assert Remote.model_validate(fields).token() is None
    monkeypatch.setenv("SHOP_TOKEN", " a-token-of-mine\n")
    assert Remote.model_validate({**fields, "token_env": "SHOP_TOKEN"}).token() == "a-token-of-mine"
    file = tmp_path / "token"
    file.write_text("another-token\n")
    assert Remote.model_validate({**fields, "token_env": str(file)}).token() == "another-token"
    for place in ("NO_SUCH_VARIABLE", str(tmp_path / "missing")):
        with pytest.raises(TokenMissing):
            Remote.model_validate({**fields, "token_env": place}).token()
    file.write_text("two words")
    with pytest.raises(TokenMissing):
        Remote.model_validate({**fields, "token_env": str(file)}).token()


def test_a_new_remote_takes_the_place_of_the_old_and_leaves_the_rest(tmp_path: Path) -> None:
    before = '# mine\ndescription = "Ours"\n\n' + GOOD
    remote = Remote.model_validate({"url": "git@gitlab.com:a/b.git", "forge": "gitlab", "base": "trunk"})
    after = project_settings.with_remote(before, remote, "a test")
    assert after.startswith('# mine\ndescription = "Ours"\n')
    write(tmp_path, after)
    loaded = project_settings.load_operators(tmp_path, "shop")
    assert (loaded.remote, loaded.description) == (remote, "Ours")
