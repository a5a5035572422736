"""Users: people, who sign in with a password, and programs, which have API tokens only."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final, get_args

from psycopg import AsyncConnection
from psycopg.rows import DictRow

from core import clock
from core.database import Database
from core.events import SERVICE, EventLog
from core.json import JsonValue
from governance.access import queries
from governance.access.errors import UserExists, UserInvalid, UserNotFound
from governance.access.passwords import Passwords
from governance.roles import NotPermitted, Role

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,63}")
_RESERVED: Final = frozenset({"director", "operator", "auditor", "hr", "service", "factory", "me"})


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who may come in."""

    name: str
    role: Role
    signs_in: bool
    """Whether there is a password. A program has none."""
    created_at: datetime
    created_by: str
    deleted_at: datetime | None


@dataclass(frozen=True)
class Users:
    """The table of users. Each change and its event are one transaction."""

    db: Database
    events: EventLog
    passwords: Passwords

    async def add(
        self, name: str, role: Role, *, password: str | None, by: str, as_role: Role = "director"
    ) -> User:
        """A new user, by somebody of `as_role`. Raises UserInvalid, UserExists, NotPermitted."""
        _check_name(name)
        _check_giving(role, as_role)
        hashed = None if password is None else await self.passwords.hashed(password, name=name)
        values = {"name": name, "role": role, "password": hashed, "at": clock.now(), "by": by}
        async with self.db.pool.connection() as conn, conn.transaction():
            row = await (await conn.execute(queries.ADD_USER, values)).fetchone()
            if row is None:
                raise UserExists(
                    f"There is, or was, a user {name}",
                    untouched="Nothing was changed",
                    todo="Take another name: what was decided under this one stands in the audit",
                )
            await self._tell(conn, "user.added", {"user": name, "role": role, "by": by})
        return User(**row)

    async def get(self, name: str) -> User:
        """One user that is not deleted; raises UserNotFound."""
        found = await self.list(name=name)
        if not found:
            raise UserNotFound(f"There is no user {name[:80]!r}", todo="Add one with: factory user add")
        return found[0]

    async def list(
        self, *, name: str | None = None, after: str | None = None, limit: int = 100, deleted: bool = False
    ) -> list[User]:
        """The users by name, from after the name `after` on."""
        asked = {"name": _storable(name), "after": _storable(after), "limit": limit, "deleted": deleted}
        async with self.db.pool.connection() as conn:
            return [User(**row) for row in await (await conn.execute(queries.USERS, asked)).fetchall()]

    async def change(
        self,
        name: str,
        *,
        role: Role | None = None,
        password: str | None = None,
        by: str,
        as_role: Role = "director",
    ) -> User:
        """Give another role or password; sign-ins of before end.

        Raises UserNotFound, NotPermitted, UserInvalid.
        """
        before = await self._changeable(name, by, as_role, own_password=role is None)
        if role is not None:
            _check_giving(role, as_role)
            if name == by:
                raise NotPermitted("Nobody changes their own role", untouched="Nothing was changed")
        hashed = None if password is None else await self.passwords.hashed(password, name=name)
        async with self.db.pool.connection() as conn, conn.transaction():
            values = {"name": name, "role": role, "password": hashed}
            row = await (await conn.execute(queries.CHANGE_USER, values)).fetchone()
            if row is None:
                raise UserNotFound(f"There is no user {name[:80]!r}")
            await _end_sessions(conn, name, by)
            said = {"user": name, "role": row["role"], "was": before.role, "by": by}
            await self._tell(conn, "user.changed", {**said, "password": password is not None})
        return User(**row)

    async def delete(self, name: str, *, by: str, as_role: Role = "director") -> None:
        """Close the door to a user; tokens and sign-ins with it. The name stays. Raises UserNotFound."""
        await self._changeable(name, by, as_role)
        async with self.db.pool.connection() as conn, conn.transaction():
            values = {"name": name, "at": clock.now(), "by": by}
            if await (await conn.execute(queries.DELETE_USER, values)).fetchone() is None:
                raise UserNotFound(f"There is no user {name[:80]!r}")
            await _end_sessions(conn, name, by)
            await self._tell(conn, "user.deleted", {"user": name, "by": by})

    async def _changeable(self, name: str, by: str, as_role: Role, *, own_password: bool = False) -> User:
        user = await self.get(name)
        if user.role == "director" and as_role != "director" and not (own_password and name == by):
            raise NotPermitted("Only a director changes a director", untouched="Nothing was changed")
        return user

    async def _tell(self, conn: AsyncConnection[DictRow], kind: str, said: dict[str, JsonValue]) -> None:
        await self.events.append(SERVICE, kind, said, conn=conn)


async def _end_sessions(conn: AsyncConnection[DictRow], name: str, by: str) -> None:
    await conn.execute(queries.REVOKE_SESSIONS, {"id": None, "user": name, "at": clock.now(), "by": by})


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name) or name in _RESERVED:
        raise UserInvalid(
            f"{name[:80]!a} is no name for a user",
            untouched="Nothing was changed",
            todo="Use 1 to 64 of a-z, 0-9 and . _ @ + -, beginning with a letter or digit; not a role's name",
        )


def _check_giving(role: Role, as_role: Role) -> None:
    if role not in get_args(Role):
        raise UserInvalid(f"There is no role {role!r}", todo=f"Roles: {', '.join(get_args(Role))}")
    if role == "director" and as_role != "director":
        raise NotPermitted("Only a director makes a director", untouched="Nothing was changed")


def _storable(text: str | None) -> str | None:
    return None if text is None else text.replace("\x00", "").encode("utf-8", "replace").decode()
