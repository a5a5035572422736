"""Secrets and personal data do not pass the door of memory; what only looks like some does."""

from __future__ import annotations

from datetime import UTC, datetime
from time import process_time

import pytest

from core.database import Database
from memory.records import Draft, Kind, Source
from memory.screening import screen
from memory.service import Memories
from models.embeddings.local import LocalEmbedder


@pytest.mark.parametrize(
    ("text", "kept", "found"),
    [
        ("Ask jan.de.vries+x@example.co.uk first.", "Ask [mail] first.", "mail"),
        ("Mail <user@example.com>.", "Mail <[mail]>.", "mail"),
        ("Vraag het aan café@voorbeeld.nl", "Vraag het aan [mail]", "mail"),
        ("Paid with 4111 1111 1111 1111 today", "Paid with [card] today", "card"),
        ("Paid with 4111-1111-1111-1111.", "Paid with [card].", "card"),
        ("To NL91 ABNA 0417 1643 00, please", "To [iban], please", "iban"),
        ("To NL91ABNA0417164300.", "To [iban].", "iban"),
        ("Call +31 6 12345678 now", "Call [phone] now", "phone"),
        ("Bel (020) 123 4567", "Bel [phone]", "phone"),
        ("Bel 0612345678", "Bel [phone]", "phone"),
        ("โทร 081 234 5678 🎉", "โทร [phone] 🎉", "phone"),
        ("the key is sk-abc1234567890abcdefgh", "the key is [redacted]", "secret"),
        ("Paid \uff14\uff11\uff11\uff11 1111 1111 \uff11111", "Paid [card]", "card"),
        ("Paid with 4111.1111.1111.1111.", "Paid with [card].", "card"),
        ("Paid with 4111\u20131111\u20131111\u20131111", "Paid with [card]", "card"),
        ("Paid with 4111\u00a01111\u00a01111\u00a01111", "Paid with [card]", "card"),
        ("Paid with 4\u200b111 1111 1111 1111 📚", "Paid with [card] 📚", "card"),
        ("To nl91 abna 0417 1643 00", "To [iban]", "iban"),
        ("To NL91-ABNA-0417-1643-00", "To [iban]", "iban"),
        ("Mail jan\uff20example\uff0ecom", "Mail [mail]", "mail"),
        ("โทร ๐๘๑ ๒๓๔ ๕๖๗๘ 🎉", "โทร [phone] 🎉", "phone"),
        ("Bel 06-12345678.", "Bel [phone].", "phone"),
        ("Bel 0031 6 12345678", "Bel [phone]", "phone"),
        ("Appelez 01.23.45.67.89", "Appelez [phone]", "phone"),
        ("tel:+31612345678", "tel:[phone]", "phone"),
        ("token g\u200bhp_abcdefghij1234567890abcdefghij12", "token [redacted]", "secret"),
        ("password: hunter2hunter2", "password: [redacted]", "secret"),
        ("The password is `hunter2hunter2`.", "The password is `[redacted]`.", "secret"),
        ("DB_PASSWORD='s3cr3tpass'", "DB_PASSWORD='[redacted]'", "secret"),
        ('{"api_key": "abcd1234efgh5678"}', '{"api_key": "[redacted]"}', "secret"),
        (
            "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCY",
            "aws_secret_access_key = [redacted]",
            "secret",
        ),
        ("Authorization: Basic dXNlcjpwYXNzd29yZDE=", "Authorization: Basic [redacted]", "secret"),
        ("Pay by sk_live_4eC39HqLyjWDarjtT1zdp7dc.", "Pay by [redacted].", "secret"),
        ("npm_a1B2a1B2a1B2a1B2a1B2a1B2a1B2a1B2a1B2", "[redacted]", "secret"),
        ("-----BEGIN PGP PRIVATE KEY BLOCK-----\nlQd", "[redacted]", "secret"),
        ("postgresql://app:hunter2hunter2@db/app", "postgresql://app:[redacted]@db/app", "secret"),
    ],
)
def test_what_has_the_shape_of_a_secret_or_of_personal_data_is_masked(
    text: str, kept: str, found: str
) -> None:
    screened = screen(text)
    assert screened.text == kept
    assert screened.found == (found,)


@pytest.mark.parametrize(
    "text",
    [
        "At 2026-11-21 08:43:20 version 1.2.3 listened on port 8000.",
        "pytest tests/unit: 78 passed in 0.123456789 s",
        "docs/adr/0001-database.md:12 says so, and 127.0.0.1:5432 answers.",
        "Order 4111111111111112 has a wrong check digit.",
        "NL91ABNA0417164301 has one too.",
        "run-01m7ymq3awxp2kcth0vsfa50p6 made commit 0123456789abcdef0123456789abcdef01234567",
        "ids 1000 2000 3000 4000 and @decorator, a@b",
        "`GET /api/members/{id}` answers 200, 404, 400, 409, 413, 415",
        "DE, NL and FR22 are codes.",
        "password: required, token: opaque string",
        "The password is hashed with bcrypt and the token is 256 bits long.",
        "`password` TEXT, `token VARCHAR(255)`, token = make_token1(user), secret: secrets.token_hex(32)",
        "Version 0.12.34.56 replaces 01.02.2026, see ADR 0007-accounts.",
        "ห้องสมุดเปิดเวลา ๙ นาฬิกา ที่ ๑๒/๓",
    ],
)
def test_what_only_looks_like_personal_data_stays(text: str) -> None:
    assert screen(text) == (screen(text).__class__(text, ()))


@pytest.mark.parametrize(
    "unit",
    ["a@", "0 ", "0-1", "+31 ", "A1 ", "a.b@c.", "(0", "1 1", "password: ", "๑ "],
)
def test_a_hostile_megabyte_passes_the_door_in_time(unit: str) -> None:
    began = process_time()
    screen(unit * (1_000_000 // len(unit)))
    assert process_time() - began < 60  # counted for coverage, five times as long as it takes by itself


async def test_no_bank_takes_in_what_the_door_masks(database: Database) -> None:
    async with Memories.open(database, LocalEmbedder()) as memories:
        bank = await memories.bank("library", "backend_engineering")
        source = Source("run-1", 1, "ab" * 32, "backend_engineering")
        at = datetime(2026, 1, 1, tzinfo=UTC)
        draft = Draft("Reports go to jan@example.com.", Kind.FACT, source, "backend_engineering", "s", at)
        await bank.add([draft], key="a")
        assert [memory.text for memory in await bank.list()] == ["Reports go to [mail]."]
        async with database.pool.connection() as connection:
            rows = await (await connection.execute("SELECT memories::text FROM factory.memories")).fetchall()
    assert not any("jan" in str(row) for row in rows)
