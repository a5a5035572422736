"""Errors, clock, JSON, settings, redaction, faults and logs."""

import io
import json
import logging
import os
import pickle
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import clock, logs, redaction
from core.errors import BadInput, FactoryError
from core.json import canonical
from core.redaction import MASK, redact
from core.settings import OPERATORS_ONLY, Settings, SettingsInvalid

ROOT = Path(__file__).parents[2]


class OvenTooHot(FactoryError):
    """The oven is too hot.

    More that no message shows.
    """


class HTTPBroken(BadInput):
    """HTTP is broken."""


def test_every_setting_that_is_one_value_stands_on_the_page_about_running_it() -> None:
    page = (ROOT / "docs" / "running.md").read_text(encoding="utf-8")
    plain = {name for name in Settings.model_fields if name != "recall_weights"}  # a table of its own
    assert {name for name in plain if f"`FACTORY_{name.upper()}`" not in page} == set()
    assert {name for name in OPERATORS_ONLY if f"`{name.upper()}`" not in page} == set()


def test_an_error_says_what_happened_what_was_left_and_what_to_do() -> None:
    assert str(OvenTooHot()) == "The oven is too hot."
    error = OvenTooHot("It burns", untouched="The cake is whole", todo="Open the door!")
    assert str(error) == "It burns. The cake is whole. Open the door!"


def test_an_error_has_a_stable_code_and_an_exit_code() -> None:
    assert (OvenTooHot.code, OvenTooHot.exit_code) == ("oven-too-hot", 4)
    assert (HTTPBroken.code, HTTPBroken.exit_code) == ("http-broken", 2)


def test_an_error_survives_a_pickle() -> None:
    error = pickle.loads(pickle.dumps(OvenTooHot("It burns", todo="Run")))
    assert (str(error), error.todo) == ("It burns. Run.", "Run")


def test_ids_are_lower_case_and_sort_in_the_order_they_were_made() -> None:
    ids = [clock.new_id("run") for _ in range(2000)]
    assert ids == sorted(set(ids))
    assert all(id == id.lower() and id.startswith("run-") and len(id) == 30 for id in ids)


def test_a_test_owns_time_and_ids() -> None:
    with clock.use(clock.TestClock(datetime(2031, 5, 4, tzinfo=UTC))) as own:
        assert (clock.new_id("a"), clock.new_id("b")) == ("a-000001", "b-000002")
        assert isinstance(own, clock.TestClock)
        own.advance(90)
        assert clock.now() == datetime(2031, 5, 4, 0, 1, 30, tzinfo=UTC)
        assert clock.monotonic() == 90
    assert clock.now().year < 2031 or clock.now().tzinfo is UTC


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(JSON)
def test_canonical_text_keeps_the_value_is_utf8_and_is_a_fixed_point(value: object) -> None:
    text = canonical(value)  # type: ignore[arg-type]
    text.encode()
    assert json.loads(text) == value
    assert canonical(json.loads(text)) == text


def test_canonical_text_does_not_depend_on_the_order_of_keys() -> None:
    assert canonical({"b": [1, "ü"], "a": (None,)}) == canonical({"a": [None], "b": [1, "ü"]})
    assert canonical({"b": 1, "a": "ü"}) == '{"a":"ü","b":1}'


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {"a": [float("-inf")]}])
def test_what_json_cannot_say_is_refused(value: object) -> None:
    with pytest.raises(ValueError):
        canonical(value)  # type: ignore[arg-type]


def test_settings_come_from_argument_environment_dotenv_and_toml_in_this_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "factory.toml").write_text(
        'model = "toml"\npack = "toml"\nollama_url = "http://toml"\nenvironment = "toml"\n'
    )
    (tmp_path / ".env").write_text(
        "FACTORY_PACK=dotenv\nFACTORY_OLLAMA_URL=http://dotenv\nFACTORY_ENVIRONMENT=dotenv\n"
    )
    monkeypatch.setenv("FACTORY_OLLAMA_URL", "http://environment")
    monkeypatch.setenv("FACTORY_ENVIRONMENT", "environment")
    monkeypatch.setenv("FACTORY_PACK_DIRS", f"one{os.pathsep}/two")
    settings = Settings.load(environment="argument")
    assert (settings.model, settings.pack) == ("toml", "dotenv")
    assert (settings.ollama_url, settings.environment) == ("http://environment", "argument")
    assert settings.home == tmp_path / ".factory"
    assert settings.pack_dirs == [tmp_path / "one", Path("/two")]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("factory.toml", b'log_level = "loud"'),
        ("factory.toml", b"not toml at all"),
        ("factory.toml", b"\xff\xfe"),
        ("factory.toml", b'hoem = "/srv/factory"'),
        ("factory.toml", b'ollama_url = "ftp:x"'),
    ],
)
def test_a_bad_setting_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, content: bytes
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SettingsInvalid, match=r"factory\.toml"):
        Settings.load()


def test_a_slip_of_the_pen_in_the_file_is_told_with_what_was_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "factory.toml").write_text('ollama-url = "http://gpu:11434"')
    with pytest.raises(SettingsInvalid, match=r"ollama-url.*Did you mean ollama_url\?"):
        Settings.load()


@pytest.mark.parametrize("name", sorted(OPERATORS_ONLY))
@pytest.mark.parametrize("file", ["factory.toml", ".env"])
def test_a_folder_cannot_loosen_what_confines_code(
    file: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody starts the factory inside a repository that they cloned, and that brings this file along."""
    monkeypatch.chdir(tmp_path)
    line = f'{name} = "x"' if file == "factory.toml" else f"FACTORY_{name.upper()}=x"
    (tmp_path / file).write_text(line)
    with pytest.raises(SettingsInvalid, match=rf"{file} in this folder sets {name}.*FACTORY_{name.upper()}"):
        Settings.load()


@pytest.mark.parametrize(
    "secret",
    [
        "sk-proj-abcdefghij0123456789",
        "ghp_abcdefghijklmnopqrstuvwx0123",
        "AKIAIOSFODNN7EXAMPLE",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJlMTIz",
        "-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----",
    ],
)
def test_secrets_of_a_known_shape_are_masked_wherever_they_stand(secret: str) -> None:
    assert redact({"a": [f"before {secret} after"]}) == {"a": [f"before {MASK} after"]}


def test_passwords_are_masked_and_what_stands_around_them_is_not() -> None:
    assert redact("postgresql://me:hunter2@host/db") == f"postgresql://me:{MASK}@host/db"
    assert redact("Authorization: Bearer abcdef123456") == f"Authorization: Bearer {MASK}"
    assert redact("host=x password=hunter2 user=y") == f"host=x password={MASK} user=y"
    assert redact({"api_key": "x", "db_password": "y", "client-secret": ["z"]}) == {
        "api_key": MASK,
        "db_password": MASK,
        "client-secret": [MASK],
    }


def test_ordinary_words_and_numbers_are_not_masked() -> None:
    value = {
        "key": "qa/1",
        "input_tokens": 12,
        "text": "a risk-assessment, a task-list-with-many-words, https://example.org/a:b@c",
        "keyboard": "de",
        "monkey": "see",
    }
    assert redact(value) == value


@pytest.mark.parametrize("text", ["sk-", "-eyJaaaaaaaaa", "http://http://", "password=' ", "eyJaaaaaaaa.eyJ"])
def test_a_hostile_text_is_not_slow_to_mask(text: str) -> None:
    begin = time.process_time()
    redact(text * (100_000 // len(text)))
    assert time.process_time() - begin < 10


def test_the_value_of_a_secret_variable_is_masked_also_when_it_is_set_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert redact("correct-horse") == "correct-horse"
    monkeypatch.setenv("LANGFUSE_SECRET_KEY", "correct-horse")
    monkeypatch.setenv("SSL_KEY_FILE", "certificates")
    assert redact("say correct-horse and certificates") == f"say {MASK} and certificates"


def test_the_password_of_the_database_is_masked_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redaction, "_known", set())
    Settings(database_url="postgresql://me:p%40ssword-one@h/d")  # type: ignore[arg-type]
    assert redact("it is p@ssword-one, or p%40ssword-one") == f"it is {MASK}, or {MASK}"


@pytest.mark.parametrize(("at", "lines"), [("b", 2), ("b#2", 5), ("c", 6), ("", 6)])
def test_a_process_dies_at_the_named_place_and_leaves_its_trace(tmp_path: Path, at: str, lines: int) -> None:
    trace = tmp_path / "trace"
    done = subprocess.run(
        [sys.executable, "-c", "from core import faults\nfor name in 'abaaba': faults.point(name)"],
        cwd=ROOT,
        env=os.environ | {"FACTORY_CRASH_AT": at, "FACTORY_CRASH_TRACE": str(trace)},
    )
    assert done.returncode == (-9 if at.startswith("b") else 0)
    assert trace.read_text().split() == list("abaaba")[:lines]


def test_a_log_line_is_one_json_object_on_stderr_without_secrets(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SOME_TOKEN", "correct-horse")
    stderr = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stderr)
    before = list(logging.getLogger().handlers)
    try:
        logs.configure("info")
        logs.get("core.test").info("it is correct-horse", error=ValueError("correct-horse"), n=1)
        logs.get("core.test").debug("too quiet")
        logging.getLogger("psycopg").warning("foreign %s", "correct-horse")
    finally:
        logging.getLogger().handlers[:] = before
    ours, foreign = (json.loads(line) for line in stderr.getvalue().splitlines())
    assert (ours["event"], ours["error"], ours["n"]) == (f"it is {MASK}", MASK, 1)
    assert (foreign["event"], foreign["logger"]) == (f"foreign {MASK}", "psycopg")
    assert capsys.readouterr().out == ""
