"""`factory user` and `factory token`: who may come in over HTTP, straight in the database of this machine."""

from __future__ import annotations

import getpass
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import asdict
from datetime import timedelta
from typing import Any, cast

from cli.screen import Screen, table
from cli.whoami import whoami
from core.database import Database
from core.errors import BadInput
from core.events import EventLog
from core.json import JsonObject
from core.settings import Settings
from governance.access import passwords
from governance.access.passwords import Passwords
from governance.access.tokens import Token, Tokens
from governance.access.users import User, Users
from governance.roles import Permission, Role

_MOST = 1_000
"""Rows that a list shows."""


@asynccontextmanager
async def _opened() -> AsyncGenerator[tuple[Users, Tokens]]:
    async with Database.open(Settings.load()) as db:
        events = EventLog(db)
        yield Users(db, events, Passwords()), Tokens(db, events)


async def add(name: str, role: Role, *, program: bool, stdin: bool, as_json: bool) -> int:
    """Add a user; returns 0."""
    screen = Screen(as_json)
    password = None if program else _password(screen, name, stdin)
    async with _opened() as (users, _):
        user = await users.add(name, role, password=password, by=whoami())
    return _show(screen, user, f"{user.name} may come in as {user.role}.")


async def list_users(*, as_json: bool) -> int:
    """Print the users; returns 0."""
    screen = Screen(as_json)
    async with _opened() as (users, _):
        found = await users.list(limit=_MOST)
    if as_json:
        screen.result(cast(JsonObject, {"users": [asdict(user) for user in found]}))
        return 0
    rows = table("name", "role", "comes in with", "since", "added by")
    for user in found:
        means = "password, tokens" if user.signs_in else "tokens"
        rows.add_row(user.name, user.role, means, f"{user.created_at:%Y-%m-%d}", user.created_by)
    screen.out.print(rows)
    if not found:
        screen.note("There is no user yet; `factory serve` prints a token that needs none.")
    return 0


async def change(name: str, *, role: Role, as_json: bool) -> int:
    """Give another role; returns 0."""
    screen = Screen(as_json)
    async with _opened() as (users, _):
        user = await users.change(name, role=role, by=whoami())
    return _show(screen, user, f"{user.name} is {user.role} now.")


async def set_password(name: str, *, stdin: bool, as_json: bool) -> int:
    """Set a password; returns 0."""
    screen = Screen(as_json)
    async with _opened() as (users, _):
        await users.get(name)
        user = await users.change(name, password=_password(screen, name, stdin), by=whoami())
    return _show(screen, user, f"{user.name} signs in with the new password; sign-ins of before have ended.")


async def delete(name: str, *, as_json: bool) -> int:
    """Delete a user; returns 0."""
    screen = Screen(as_json)
    async with _opened() as (users, _):
        user = await users.get(name)
        await users.delete(name, by=whoami())
    return _show(screen, user, f"{name} comes in no more; tokens and sign-ins have ended.")


async def issue(
    label: str, name: str, allow: list[str] | None, projects: list[str] | None, days: int, *, as_json: bool
) -> int:
    """Make an API token and print its secret; returns 0."""
    screen = Screen(as_json)
    async with _opened() as (users, tokens):
        token, secret = await tokens.issue(
            await users.get(name),
            label,
            by=whoami(),
            permissions=cast("list[Permission] | None", allow),
            projects=projects,
            lifetime=timedelta(days=days),
        )
    if as_json:
        screen.result(cast(JsonObject, {"token": asdict(token), "secret": secret}))
        return 0
    screen.say(secret)
    bound = f", projects {', '.join(token.projects)}" if token.projects else ""
    screen.note(f"{token.id}: {', '.join(token.permissions)}{bound}; until {token.expires_at:%Y-%m-%d}.")
    screen.note("The secret is shown this once.")
    return 0


async def list_tokens(user: str | None, *, as_json: bool) -> int:
    """Print the API tokens; returns 0."""
    screen = Screen(as_json)
    async with _opened() as (_, tokens):
        found = await tokens.list(user=user, limit=_MOST)
    if as_json:
        screen.result(cast(JsonObject, {"tokens": [asdict(token) for token in found]}))
        return 0
    rows = table("id", "user", "label", "begins", "good for", "until", "last used")
    for token in found:
        rows.add_row(
            token.id, token.user, token.label, token.hint, _good_for(token), _until(token), _used(token)
        )
    screen.out.print(rows)
    return 0


async def revoke(token_id: str, *, as_json: bool) -> int:
    """End an API token; returns 0."""
    screen = Screen(as_json)
    async with _opened() as (_, tokens):
        await tokens.revoke(token_id, by=whoami())
        token = await tokens.get(token_id)
    return _show(screen, token, f"{token.id} ({token.label}) is good for nothing any more.")


def _show(screen: Screen, what: User | Token, said: str) -> int:
    if screen.as_json:
        shown: dict[str, Any] = asdict(what)
        screen.result(cast(JsonObject, shown))
    else:
        screen.say(said)
    return 0


def _good_for(token: Token) -> str:
    what = ", ".join(token.permissions)
    return f"{what} in {', '.join(token.projects)}" if token.projects else what


def _until(token: Token) -> str:
    return "revoked" if token.revoked_at else f"{token.expires_at:%Y-%m-%d}"


def _used(token: Token) -> str:
    return f"{token.last_used_at:%Y-%m-%d %H:%M}" if token.last_used_at else "never"


def _password(screen: Screen, name: str, stdin: bool) -> str:
    if stdin:
        password = sys.stdin.readline().rstrip("\r\n")
    elif screen.interactive:
        password = getpass.getpass(f"Password of {name}: ")
        if getpass.getpass("Once more: ") != password:
            raise BadInput("The two are not the same", untouched="Nothing was changed", todo="Try again")
    else:
        raise BadInput(
            "There is nobody here to ask for a password",
            untouched="Nothing was changed",
            todo="Give it on standard input with --password-stdin, or make a program with --program",
        )
    passwords.check(password, name=name)
    return password
