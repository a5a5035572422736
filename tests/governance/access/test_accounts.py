"""Who comes in with what: printed token, API tokens, sign-ins; and who no longer does."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
from datetime import timedelta
from pathlib import Path

import jwt
import pytest

from core.clock import TestClock
from core.database import Database
from core.keys import KeyUnusable
from core.settings import Settings
from governance.access import Accounts, NotSignedIn
from governance.access import credentials as given_out
from governance.access.errors import (
    SignInRefused,
    TokenInvalid,
    TokenNotFound,
    UserExists,
    UserInvalid,
    UserNotFound,
)
from governance.access.signing import Signer
from governance.roles import NotPermitted
from tests.governance.access.conftest import PASSWORD
from workspace.checks import secrets as secret_check
from workspace.files import Files


async def told(accounts: Accounts) -> list[str]:
    """What the service's own chain says happened."""
    return [event.kind for event in await accounts.events.read("service")]


async def test_the_printed_token_makes_its_owner_director(accounts: Accounts) -> None:
    owner = await accounts.verify("the-printed-token")
    assert (owner.name, owner.role, owner.means) == ("owner", "director", "printed")
    for wrong in ("", "the-printed-tokem", "x" * 10_000, "a.b.c", "fct_nonsense", "\udcff"):
        with pytest.raises(NotSignedIn):
            await accounts.verify(wrong)


async def test_without_a_printed_token_the_owner_has_none(database: Database, settings: Settings) -> None:
    accounts = Accounts.of(database, settings)
    with pytest.raises(NotSignedIn):
        await accounts.verify("the-printed-token")


async def test_an_api_token_is_known_by_its_hash_only(accounts: Accounts, database: Database) -> None:
    robot = await accounts.users.add("ci", "operator", password=None, by="owner")
    token, secret = await accounts.tokens.issue(robot, "ci", by="owner", permissions=["read", "submit"])
    assert given_out.is_one(secret, "fct_")
    caller = await accounts.verify(secret)
    assert (caller.name, caller.role, caller.means, caller.credential) == (
        "ci",
        "operator",
        "token",
        token.id,
    )
    assert caller.permissions == {"read", "submit"}
    async with database.pool.connection() as conn:
        rows = await (await conn.execute("SELECT * FROM factory.tokens")).fetchall()
    assert secret not in str(rows)
    assert secret.removeprefix(token.hint.rstrip("…")) not in str(rows)
    assert (await accounts.tokens.get(token.id)).last_used_at is not None


def test_a_secret_scanner_finds_our_tokens(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(f"KEY = '{given_out.new('fct_')}'\n")
    assert "a token of the factory" in str(secret_check.look(Files(tmp_path)))


async def test_a_token_with_a_slip_of_the_pen_never_asks_the_database(accounts: Accounts) -> None:
    secret = given_out.new("fct_")
    for wrong in (secret[:-1], secret + "a", secret[:-1] + ("a" if secret[-1] != "a" else "b")):
        assert not given_out.is_one(wrong, "fct_")
    assert not given_out.is_one(secret, "fcr_")


async def test_a_token_of_yesterday_is_refused(accounts: Accounts, time: TestClock) -> None:
    robot = await accounts.users.add("ci", "operator", password=None, by="owner")
    _, secret = await accounts.tokens.issue(robot, "ci", by="owner", lifetime=timedelta(days=1))
    await accounts.verify(secret)
    time.advance(24 * 3600)
    with pytest.raises(NotSignedIn, match="expired"):
        await accounts.verify(secret)


async def test_a_revoked_token_is_refused_at_once(accounts: Accounts) -> None:
    robot = await accounts.users.add("ci", "operator", password=None, by="owner")
    token, secret = await accounts.tokens.issue(robot, "ci", by="owner")
    await accounts.tokens.revoke(token.id, by="owner")
    await accounts.tokens.revoke(token.id, by="owner")
    with pytest.raises(NotSignedIn, match="revoked"):
        await accounts.verify(secret)
    assert await told(accounts) == ["user.added", "token.issued", "token.revoked"]
    with pytest.raises(TokenNotFound):
        await accounts.tokens.revoke("token-none", by="owner")


async def test_tokens_and_sign_ins_of_a_deleted_user_are_refused(accounts: Accounts) -> None:
    ada = await accounts.users.add("ada", "director", password=PASSWORD, by="owner")
    _, secret = await accounts.tokens.issue(ada, "laptop", by="ada")
    signed = await accounts.sessions.sign_in("ada", PASSWORD)
    await accounts.users.delete("ada", by="owner")
    for shown in (secret, signed.access_token):
        with pytest.raises(NotSignedIn):
            await accounts.verify(shown)
    with pytest.raises(NotSignedIn):
        await accounts.sessions.refresh(signed.refresh_token)
    with pytest.raises(SignInRefused):
        await accounts.sessions.sign_in("ada", PASSWORD)
    with pytest.raises(UserExists):  # what ada decided stays ada's
        await accounts.users.add("ada", "operator", password=None, by="owner")


async def test_a_token_never_has_more_than_its_users_role(accounts: Accounts) -> None:
    ada = await accounts.users.add("ada", "director", password=PASSWORD, by="owner")
    _, secret = await accounts.tokens.issue(ada, "all", by="ada")
    assert (await accounts.verify(secret)).may("approve")
    await accounts.users.change("ada", role="auditor", by="owner")
    caller = await accounts.verify(secret)
    assert not caller.may("approve")
    with pytest.raises(NotPermitted):
        caller.require("approve")
    with pytest.raises(TokenInvalid, match="may not approve"):
        await accounts.tokens.issue(await accounts.users.get("ada"), "x", by="ada", permissions=["approve"])


async def test_a_scoped_token_is_refused_beyond_its_scopes(accounts: Accounts) -> None:
    robot = await accounts.users.add("ci", "operator", password=None, by="owner")
    _, secret = await accounts.tokens.issue(
        robot, "ci", by="owner", permissions=["read"], projects=["shop", "app"]
    )
    caller = await accounts.verify(secret)
    with pytest.raises(NotPermitted, match="not made for 'submit'"):
        caller.require("submit")
    caller.require_project("shop")
    for other in ("bank", None):
        with pytest.raises(NotPermitted, match="app, shop"):
            caller.require_project(other)


async def test_a_token_makes_no_token_that_opens_more_or_longer(accounts: Accounts) -> None:
    robot = await accounts.users.add("ci", "operator", password=None, by="owner")
    _, secret = await accounts.tokens.issue(
        robot, "a", by="owner", permissions=["read", "tokens"], projects=["shop"], lifetime=timedelta(days=2)
    )
    caller = await accounts.verify(secret)
    for more in ({"permissions": ["submit"]}, {"permissions": ["read"], "projects": None}):
        with pytest.raises(TokenInvalid):
            await accounts.tokens.issue(robot, "b", by="ci", within=caller, **{"projects": ["shop"], **more})
    child, _ = await accounts.tokens.issue(robot, "b", by="ci", within=caller, projects=["shop"])
    assert child.permissions == ("read", "tokens")
    assert child.expires_at == caller.expires_at


async def test_signing_in_gives_a_token_for_a_quarter_of_an_hour(accounts: Accounts, time: TestClock) -> None:
    await accounts.users.add("ada", "operator", password=PASSWORD, by="owner")
    signed = await accounts.sessions.sign_in("ada", PASSWORD)
    caller = await accounts.verify(signed.access_token)
    assert (caller.name, caller.role, caller.means) == ("ada", "operator", "session")
    time.advance(15 * 60)
    with pytest.raises(NotSignedIn, match="out of date"):
        await accounts.verify(signed.access_token)
    again = await accounts.sessions.refresh(signed.refresh_token)
    assert (await accounts.verify(again.access_token)).name == "ada"
    time.advance(12 * 3600)
    with pytest.raises(NotSignedIn, match="over"):
        await accounts.sessions.refresh(again.refresh_token)


@pytest.mark.parametrize("name", ["ada", "nobody", "", "a\x00b", "'; DROP TABLE users", "A" * 90])
async def test_a_wrong_password_and_an_unknown_name_are_told_the_same(accounts: Accounts, name: str) -> None:
    await accounts.users.add("ada", "operator", password=PASSWORD, by="owner")
    with pytest.raises(SignInRefused) as refused:
        await accounts.sessions.sign_in(name, "a wrong password, that one")
    assert refused.value.what == "Name and password do not fit."


async def test_a_program_never_signs_in(accounts: Accounts) -> None:
    await accounts.users.add("ci", "operator", password=None, by="owner")
    for tried in ("", PASSWORD):
        with pytest.raises(SignInRefused):
            await accounts.sessions.sign_in("ci", tried)


async def test_a_refresh_token_that_is_used_twice_ends_the_session(accounts: Accounts) -> None:
    await accounts.users.add("ada", "operator", password=PASSWORD, by="owner")
    first = await accounts.sessions.sign_in("ada", PASSWORD)
    second = await accounts.sessions.refresh(first.refresh_token)
    with pytest.raises(NotSignedIn):
        await accounts.sessions.refresh(first.refresh_token)
    with pytest.raises(NotSignedIn):
        await accounts.verify(second.access_token)
    with pytest.raises(NotSignedIn):
        await accounts.sessions.refresh(second.refresh_token)
    assert (await told(accounts))[-1] == "session.ended"


async def test_of_two_refreshes_at_the_same_instant_one_counts(accounts: Accounts) -> None:
    await accounts.users.add("ada", "operator", password=PASSWORD, by="owner")
    signed = await accounts.sessions.sign_in("ada", PASSWORD)
    both = await asyncio.gather(
        *(accounts.sessions.refresh(signed.refresh_token) for _ in range(2)), return_exceptions=True
    )
    assert [type(one).__name__ for one in both].count("NotSignedIn") == 1


async def test_a_refresh_revokes_the_older_access_tokens(accounts: Accounts) -> None:
    await accounts.users.add("ada", "operator", password=PASSWORD, by="owner")
    first = await accounts.sessions.sign_in("ada", PASSWORD)
    second = await accounts.sessions.refresh(first.refresh_token)
    await accounts.verify(first.access_token)  # another request may be under way with it
    third = await accounts.sessions.refresh(second.refresh_token)
    with pytest.raises(NotSignedIn, match="refreshed since"):
        await accounts.verify(first.access_token)
    assert (await accounts.verify(third.access_token)).name == "ada"


async def test_after_signing_out_the_access_token_is_refused(accounts: Accounts) -> None:
    await accounts.users.add("ada", "operator", password=PASSWORD, by="owner")
    signed = await accounts.sessions.sign_in("ada", PASSWORD)
    await accounts.sessions.end(signed.session, by="ada")
    with pytest.raises(NotSignedIn):
        await accounts.verify(signed.access_token)


@pytest.mark.parametrize("change", [{"password": "another lamp, another river"}, {"role": "auditor"}])
async def test_a_changed_password_or_role_ends_sign_ins(accounts: Accounts, change: dict[str, str]) -> None:
    await accounts.users.add("ada", "operator", password=PASSWORD, by="owner")
    signed = await accounts.sessions.sign_in("ada", PASSWORD)
    await accounts.users.change("ada", by="owner", **change)  # pyright: ignore[reportArgumentType]
    with pytest.raises(NotSignedIn):
        await accounts.verify(signed.access_token)


def _with_another_signature(token: str) -> str:
    """One character is another, where each of its bits counts."""
    told, _, signature = token.rpartition(".")
    return f"{told}.{'B' if signature[0] == 'A' else 'A'}{signature[1:]}"


def _forged(token: str, *, header: dict[str, str] | None = None, **claims: object) -> str:
    def part(text: str) -> dict[str, object]:
        return json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))

    def written(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    head, body, signature = token.split(".")
    signature = "" if header and header.get("alg") == "none" else signature
    return f"{written({**part(head), **(header or {})})}.{written({**part(body), **claims})}.{signature}"


async def test_a_jwt_without_a_signature_is_refused(accounts: Accounts) -> None:
    await accounts.users.add("ada", "operator", password=PASSWORD, by="owner")
    token = (await accounts.sessions.sign_in("ada", PASSWORD)).access_token
    for forged in (
        _forged(token, header={"alg": "none"}),
        _forged(token, header={"alg": "None"}),
        _forged(token, sub="owner"),
        token.rpartition(".")[0] + ".",
        _with_another_signature(token),
        "e30.e30.e30",
        "..",
    ):
        with pytest.raises(NotSignedIn):
            await accounts.verify(forged)


async def test_a_jwt_signed_with_the_public_key_as_a_password_is_refused(
    accounts: Accounts, settings: Settings
) -> None:
    public = (settings.home / "access" / "session.pub").read_bytes()
    await accounts.users.add("ada", "operator", password=PASSWORD, by="owner")
    token = (await accounts.sessions.sign_in("ada", PASSWORD)).access_token
    key = hmac.new(public, b"", "sha256").digest()
    head, body, _ = token.split(".")
    head = _forged(token, header={"alg": "HS256"}).split(".")[0]
    for secret in (public, public.strip(), key):
        mark = hmac.new(secret, f"{head}.{body}".encode(), "sha256").digest()
        forged = f"{head}.{body}.{base64.urlsafe_b64encode(mark).rstrip(b'=').decode()}"
        with pytest.raises(NotSignedIn):
            await accounts.verify(forged)


@pytest.mark.parametrize(
    "claims", [{"iss": "other"}, {"aud": "other"}, {"jti": "x.0"}, {"sid": "x"}, {"sub": "owner"}]
)
async def test_a_jwt_of_another_issuer_audience_or_session_is_refused(
    accounts: Accounts, claims: dict[str, str]
) -> None:
    await accounts.users.add("ada", "operator", password=PASSWORD, by="owner")
    token = (await accounts.sessions.sign_in("ada", PASSWORD)).access_token
    said = jwt.decode(token, options={"verify_signature": False}) | claims
    with pytest.raises(NotSignedIn):
        await accounts.verify(jwt.encode(said, accounts.signer.key, algorithm="EdDSA"))


async def test_a_jwt_from_a_clock_hours_ahead_is_refused(accounts: Accounts, time: TestClock) -> None:
    await accounts.users.add("ada", "operator", password=PASSWORD, by="owner")
    time.advance(3 * 3600)
    token = (await accounts.sessions.sign_in("ada", PASSWORD)).access_token
    time.advance(-3 * 3600)
    with pytest.raises(NotSignedIn):
        await accounts.verify(token)


def test_a_session_key_that_others_may_read_is_refused(settings: Settings, tmp_path: Path) -> None:
    Signer.of(settings)
    path = settings.home / "access" / "session.key"
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o640)
    with pytest.raises(KeyUnusable, match="Others may read"):
        Signer.of(settings)


@pytest.mark.parametrize("password", ["short", "x" * 1_001, "aaaaaaaaaaaaaaaa", "ada-lovelace-the-first"])
async def test_a_weak_password_is_refused(accounts: Accounts, password: str) -> None:
    with pytest.raises(UserInvalid):
        await accounts.users.add("ada-lovelace-the-first", "operator", password=password, by="owner")
    with pytest.raises(UserNotFound):
        await accounts.users.get("ada-lovelace-the-first")


@pytest.mark.parametrize("name", ["", "Ada", "a b", "-a", "a" * 65, "director", "a\n", "ä", "a/b", "me"])
async def test_a_name_that_is_none_is_refused(accounts: Accounts, name: str) -> None:
    with pytest.raises(UserInvalid):
        await accounts.users.add(name, "operator", password=None, by="owner")


async def test_only_a_director_makes_changes_or_deletes_a_director(accounts: Accounts) -> None:
    await accounts.users.add("dora", "director", password=PASSWORD, by="owner")
    await accounts.users.add("hans", "hr", password=PASSWORD, by="owner")
    users = accounts.users
    for refused in (
        users.add("mole", "director", password=None, by="hans", as_role="hr"),
        users.change("hans", role="director", by="hans", as_role="hr"),
        users.change("dora", role="auditor", by="hans", as_role="hr"),
        users.change("dora", password="a password that hans knows", by="hans", as_role="hr"),
        users.delete("dora", by="hans", as_role="hr"),
    ):
        with pytest.raises(NotPermitted):
            await refused
    await users.add("ola", "operator", password=None, by="hans", as_role="hr")
    with pytest.raises(NotPermitted, match="their own role"):
        await users.change("dora", role="operator", by="dora")


async def test_a_person_and_a_program_of_one_name_are_one_user(accounts: Accounts) -> None:
    results = await asyncio.gather(
        *(accounts.users.add("ci", "operator", password=None, by="owner") for _ in range(4)),
        return_exceptions=True,
    )
    assert sum(isinstance(one, UserExists) for one in results) == 3


async def test_a_password_is_stored_as_argon2id(database: Database, accounts: Accounts) -> None:
    await accounts.users.add("ada", "operator", password=PASSWORD, by="owner")
    async with database.pool.connection() as conn:
        row = await (await conn.execute("SELECT password FROM factory.users")).fetchone()
    assert row is not None
    assert row["password"].startswith("$argon2id$v=19$m=19456,t=2,p=1$")
