"""`/api/v1/users`, `/tokens`, `/sessions`: who comes in, and with what."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Request, Response, status
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from api.access import Caller, anybody, identify, may, perimeter_of
from api.door import DoorRoute
from api.service import Serving
from core.errors import BadInput
from governance.access import tokens as tokens_
from governance.access.errors import SignInRefused
from governance.access.principal import Means
from governance.access.sessions import SignedIn
from governance.access.tokens import Token
from governance.access.users import User
from governance.roles import NotPermitted, Permission, Role

users = APIRouter(prefix="/users", tags=["access"], route_class=DoorRoute)
tokens = APIRouter(prefix="/tokens", tags=["access"], route_class=DoorRoute)
sessions = APIRouter(prefix="/sessions", tags=["access"], route_class=DoorRoute)

Keeper = Annotated[Caller, Depends(may("users"))]
Holder = Annotated[Caller, Depends(may("tokens"))]
Anyone = Annotated[Caller, Depends(identify)]
"""Who is signed in, whatever they may."""

Name = Annotated[str, Field(max_length=64)]
Password = Annotated[SecretStr, Field(max_length=1_000)]
Limit = Annotated[int, Query(ge=1, le=200)]
After = Annotated[str | None, Query(max_length=100, description="The last name or id of the page before.")]


class _Given(BaseModel):
    model_config = ConfigDict(extra="forbid")


class UserWanted(_Given):
    """A user to be."""

    name: Name
    role: Role
    password: Password | None = None
    """Without one it is a program: it has API tokens and never signs in."""


class UserChange(_Given):
    """What to change of a user; what is left out stays."""

    role: Role | None = None
    password: Password | None = None


class TokenWanted(_Given):
    """An API token to be."""

    label: Annotated[str, Field(min_length=1, max_length=100)]
    user: Name | None = None
    """Whose it is; the caller's own where none is given."""
    permissions: Annotated[list[Permission], Field(min_length=1)] | None = None
    """What it is good for; all of the user's role where none are given."""
    projects: Annotated[list[str], Field(min_length=1, max_length=100)] | None = None
    """To which projects it is bound; to none where none are given."""
    days: Annotated[int, Field(ge=1, le=tokens_.LONGEST.days)] = tokens_.LIFETIME.days


class TokenMade(BaseModel):
    """A new API token. The secret is shown this once."""

    token: Token
    secret: str


class SignIn(_Given):
    """A name and its password."""

    name: Annotated[str, Field(max_length=100)]
    password: Password


class Refresh(_Given):
    """A refresh token; it is good once."""

    refresh_token: Annotated[str, Field(max_length=200)]


class Session(BaseModel):
    """What somebody gets who signs in."""

    access_token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 (its type, no token)
    expires_in: int
    """Seconds for which the access token is good."""
    refresh_token: str
    user: str
    role: Role


class Myself(BaseModel):
    """Who the caller is, and what this token is good for."""

    name: str
    role: Role
    means: Means
    credential: str
    permissions: list[Permission]
    projects: list[str] | None
    expires_at: datetime | None


class UserPage(BaseModel):
    """Users by name."""

    items: list[User]
    next: str | None


class TokenPage(BaseModel):
    """API tokens in the order in which they were made."""

    items: list[Token]
    next: str | None


@users.get("")
async def list_users(service: Serving, _: Keeper, after: After = None, limit: Limit = 100) -> UserPage:
    """The users."""
    found = await service.access.users.list(after=after, limit=limit + 1)
    return UserPage(items=found[:limit], next=found[limit - 1].name if len(found) > limit else None)


@users.post("", status_code=status.HTTP_201_CREATED)
async def add_user(wanted: UserWanted, service: Serving, caller: Keeper) -> User:
    """Add a user. Only a director makes a director."""
    return await service.access.users.add(
        wanted.name, wanted.role, password=_said(wanted.password), by=caller.name, as_role=caller.role
    )


@users.get("/{name}")
async def show_user(name: str, service: Serving, _: Keeper) -> User:
    """One user."""
    return await service.access.users.get(name)


@users.patch("/{name}")
async def change_user(name: str, change: UserChange, service: Serving, caller: Keeper) -> User:
    """Give a user another role or password; their sign-ins of before end."""
    if change.role is None and change.password is None:
        raise BadInput("There is nothing to change", todo="Give a role or a password")
    password = _said(change.password)
    return await service.access.users.change(
        name, role=change.role, password=password, by=caller.name, as_role=caller.role
    )


@users.delete("/{name}", status_code=status.HTTP_204_NO_CONTENT)
async def delete_user(name: str, service: Serving, caller: Keeper) -> None:
    """Close the door to a user, their tokens and sign-ins. The name is not given again."""
    await service.access.users.delete(name, by=caller.name, as_role=caller.role)


@tokens.get("")
async def list_tokens(
    service: Serving,
    caller: Holder,
    user: Annotated[str | None, Query(max_length=64)] = None,
    after: After = None,
    limit: Limit = 100,
) -> TokenPage:
    """The caller's API tokens; a director sees everybody's, or those of `user`."""
    whose = _whose(caller, user)
    found = await service.access.tokens.list(user=whose, after=after, limit=limit + 1)
    return TokenPage(items=found[:limit], next=found[limit - 1].id if len(found) > limit else None)


@tokens.post("", status_code=status.HTTP_201_CREATED)
async def issue_token(wanted: TokenWanted, service: Serving, caller: Holder, response: Response) -> TokenMade:
    """Make an API token: for oneself, or, by a director, for a program (a user without a password)."""
    name = wanted.user or caller.name
    if name != caller.name and caller.role != "director":
        raise NotPermitted("Only a director makes a token for somebody else", untouched="No token was made")
    user = await service.access.users.get(name)
    if name != caller.name and user.signs_in:
        raise NotPermitted(
            f"{name} is a person, and a token in their name would act as them",
            untouched="No token was made",
            todo="Let them make it, or make one for a program: a user without a password",
        )
    made, secret = await service.access.tokens.issue(
        user,
        wanted.label,
        by=caller.name,
        permissions=wanted.permissions,
        projects=wanted.projects,
        lifetime=timedelta(days=wanted.days),
        within=caller if name == caller.name else None,
    )
    response.headers["Cache-Control"] = "no-store"
    return TokenMade(token=made, secret=secret)


@tokens.get("/{token_id}")
async def show_token(token_id: str, service: Serving, caller: Holder) -> Token:
    """One API token, without its secret."""
    return await _own(service, token_id, caller)


@tokens.delete("/{token_id}", status_code=status.HTTP_204_NO_CONTENT)
async def revoke_token(token_id: str, service: Serving, caller: Holder) -> None:
    """End an API token, at once."""
    await _own(service, token_id, caller)
    await service.access.tokens.revoke(token_id, by=caller.name)


@sessions.post("", status_code=status.HTTP_201_CREATED, dependencies=[Depends(anybody)])
async def sign_in(given: SignIn, service: Serving, request: Request, response: Response) -> Session:
    """Sign in with name and password."""
    response.headers["Cache-Control"] = "no-store"
    limits, address = perimeter_of(request).limits, request.state.address
    limits.before_sign_in(address, given.name)
    try:
        signed = await service.access.sessions.sign_in(given.name, given.password.get_secret_value())
    except SignInRefused:
        limits.sign_in_failed(address, given.name)
        raise
    return _session(signed)


@sessions.post("/refresh", dependencies=[Depends(anybody)])
async def refresh_session(given: Refresh, service: Serving, response: Response) -> Session:
    """The next access token. The refresh token is used up; the answer has the next one."""
    response.headers["Cache-Control"] = "no-store"
    return _session(await service.access.sessions.refresh(given.refresh_token))


@sessions.get("/current")
async def who_am_i(caller: Anyone) -> Myself:
    """Who the caller is, and what this token is good for."""
    return Myself(
        name=caller.name,
        role=caller.role,
        means=caller.means,
        credential=caller.credential,
        permissions=sorted(caller.permissions),
        projects=None if caller.scopes.projects is None else sorted(caller.scopes.projects),
        expires_at=caller.expires_at,
    )


@sessions.delete("/current", status_code=status.HTTP_204_NO_CONTENT)
async def sign_out(service: Serving, caller: Anyone) -> None:
    """Sign out: the session's tokens are good for nothing from now on."""
    if caller.means != "session":
        raise BadInput(
            "This token is of no session", untouched="It is still good", todo="Revoke an API token instead"
        )
    await service.access.sessions.end(caller.credential, by=caller.name)


def _session(signed: SignedIn) -> Session:
    return Session(
        access_token=signed.access_token,
        expires_in=signed.seconds,
        refresh_token=signed.refresh_token,
        user=signed.user,
        role=signed.role,
    )


def _said(password: SecretStr | None) -> str | None:
    return None if password is None else password.get_secret_value()


def _whose(caller: Caller, user: str | None) -> str | None:
    if caller.role == "director" or user == caller.name:
        return user
    if user is not None:
        raise NotPermitted("Only a director sees somebody else's tokens", untouched="Nothing was shown")
    return caller.name


async def _own(service: Serving, token_id: str, caller: Caller) -> Token:
    token = await service.access.tokens.get(token_id)
    _whose(caller, token.user)
    return token
