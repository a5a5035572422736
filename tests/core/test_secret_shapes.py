"""Logs, events, traces and memory refuse the same secrets, however these are written."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator

import pytest

from core import logs
from core.database import Database
from core.events import EventLog
from core.redaction import MASK, redact, redact_copy
from memory.screening import screen
from models import langfuse

LONG = "a1B2" * 16

SECRETS = {
    "openai": "sk-proj-abcdefghij0123456789",
    "github": f"ghp_{LONG}",
    "github, fine": f"github_pat_{LONG}",
    "gitlab": f"glpat-{LONG}",
    "hugging face": f"hf_{LONG}",
    "slack": f"xoxb-{LONG}",
    "aws": "AKIAIOSFODNN7EXAMPLE",
    "google": f"AIza{LONG}",
    "google, for an hour": f"ya29.{LONG}",
    "the factory's": f"fct_{LONG[:49]}",
    "jwt": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJlMTIz",
    "stripe": f"sk_live_{LONG}",
    "stripe, restricted": f"rk_test_{LONG}",
    "a webhook's": f"whsec_{LONG}",
    "npm": f"npm_{LONG}",
    "pypi": f"pypi-{LONG}",
    "sendgrid": f"SG.{LONG[:22]}.{LONG[:43]}",
    "docker": f"dckr_pat_{LONG}",
    "age": f"AGE-SECRET-KEY-1{LONG.upper()}",
    "a private key": "-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----",
    "a private key of PGP": "-----BEGIN PGP PRIVATE KEY BLOCK-----\nlQd\n-----END PGP PRIVATE KEY BLOCK-----",
    "no width": f"g\u200bhp_{LONG}",
    "another width": f"\uff47\uff48\uff50_{LONG}",
    "soft hyphens": f"gh\u00adp_{LONG}",
}
WRITTEN = {
    "bearer": ("Bearer abcdef123456", f"Bearer {MASK}"),
    "a URL": ("postgresql://me:hunter2@host/db", f"postgresql://me:{MASK}@host/db"),
    "libpq": ("password=hunter", f"password={MASK}"),
    "libpq, quoted": ("password='a b' x", f"password={MASK} x"),
    "basic": ("Authorization: Basic dXNlcjpwYXNzd29yZDE=", f"Authorization: Basic {MASK}"),
}
SAID = {
    "a password": ("The password is `correct9horse`.", f"The password is `{MASK}`."),
    "a password's variable": ("DB_PASSWORD='s3cr3tpass'", f"DB_PASSWORD='{MASK}'"),
    "JSON": ('{"api_key": "abcd1234efgh5678"}', f'{{"api_key": "{MASK}"}}'),
    "JSON in JSON": (r"{\"token\": \"abcd1234\"}", rf"{{\"token\": \"{MASK}\"}}"),
    "a secret key of aws": (
        "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG",
        f"aws_secret_access_key = {MASK}",
    ),
    "Dutch": ("wachtwoord: correct9horse", f"wachtwoord: {MASK}"),
    "Thai": ("รหัสผ่าน: correct9horse", f"รหัสผ่าน: {MASK}"),
    "behind a letter that grows": ("İİİ token: abcd1234 İ", f"İİİ token: {MASK} İ"),
}
CASES = {name: (f"before {text} after", f"before {MASK} after") for name, text in SECRETS.items()} | WRITTEN


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    yield
    logs.configure()


def test_every_shape_is_refused_by_logs_events_traces_and_memory(
    database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    """One test for all: each of them in one event, one line, one trace."""
    given, kept = _numbered(CASES | SAID)
    logs.configure("info")
    logs.get("core.test").info("all", **given)
    line = json.loads(capsys.readouterr().err)
    assert {name: line[name] for name in given} == kept
    assert langfuse.masked(data=given) == kept
    assert {name: screen(text).text for name, text in given.items()} == kept
    given, kept = _numbered(CASES)

    async def appended() -> None:
        log = EventLog(database)
        event = await log.append("run-1", "tool.ran", dict(given), texts={"said": dict(given)})
        assert {name: event.payload[name] for name in given} == kept
        texts = await log.texts("run-1", [event.seq])
        assert texts[event.seq, "said"].value == kept

    asyncio.run(appended())


def _numbered(cases: dict[str, tuple[str, str]]) -> tuple[dict[str, str], dict[str, str]]:
    """Fields with what is given, and with what is to be kept of it; their own names hold no secret's."""
    names = [f"n{number}" for number in range(len(cases))]
    given, kept = zip(*cases.values(), strict=True)
    return dict(zip(names, given, strict=True)), dict(zip(names, kept, strict=True))


@pytest.mark.parametrize("name", CASES | SAID)
def test_what_is_masked_stays_as_it_is_when_it_is_masked_again(name: str) -> None:
    given, kept = (CASES | SAID)[name]
    for mask in (redact, redact_copy) if name in CASES else (redact_copy,):
        assert mask(given) == kept
        assert mask(kept) == kept
        assert mask({given: 1}) == {kept: 1}, "a name of a field is no place for one either"


@pytest.mark.parametrize("name", SAID)
def test_a_password_that_somebody_says_is_masked_in_copies_alone(name: str) -> None:
    """A wish that names the first password of its product would be another wish without it."""
    given, _ = SAID[name]
    assert redact(given) == given


@pytest.mark.parametrize(
    "text",
    [
        "task-list-with-many-words, risk-assessment-2026-of-everything",
        "password: required, token: opaque string, secret: secrets.token_hex(32)",
        "The token is 256 bits long; token = make_token1(user); os.environ['KEY1']",
        "https://example.org/a:b@c and http://localhost:8000/docs",
        "msg.content_of_the_message.content_of_the_message, pypi-is-where-packages-of-python-are-kept-by-all",
        "Asia/Bangkok-2026, xoxo, bearer of news, the basic authorization: basic authentication",
        "ห้องสมุดเปิดเวลา ๙ นาฬิกา — ยืมได้ 21 วัน 👩\u200d💻",
    ],
)
def test_what_only_looks_like_a_secret_stays(text: str) -> None:
    assert redact(text) == redact_copy(text) == text


@pytest.mark.parametrize(
    "unit",
    ["sk-", "eyJaaaaaaaaa.", "SG.aaaaaaaaaaaaaaaaaaaa.", "://", "://a:", "-----begin ", "bearer ", "token:",
     "password: ", "password:password:", "password='", "pypi-a", "secret=a1", "İ", "a\u200b", "\uff41"],
)  # fmt: skip
def test_a_hostile_megabyte_is_masked_in_time(unit: str) -> None:
    began = time.process_time()
    redact_copy(unit * (1_000_000 // len(unit)))
    assert time.process_time() - began < 60  # counted for coverage; alone none takes two seconds
