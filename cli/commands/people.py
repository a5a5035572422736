"""`factory user` and `factory token`: who may come in over HTTP."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from cli.commands.options import AsJson, do, family

users = family("Users of the service: people, who sign in, and programs, which have tokens only.")
tokens = family("API tokens: what a program comes in with.")


class AsRole(StrEnum):
    """The roles of governance/roles.py, by name."""

    director = "director"
    operator = "operator"
    auditor = "auditor"
    hr = "hr"


Name = Annotated[str, typer.Argument(metavar="NAME", help="The user's name, as in ada or ada@example.org.")]
FromStdin = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from standard input, not by asking.")
]


@users.command("add")
def user_add(
    name: Name,
    role: Annotated[AsRole, typer.Option(help="What the user may do; see docs/access.md.")],
    program: Annotated[
        bool, typer.Option("--program", help="No password: it comes in with API tokens only.")
    ] = False,
    password_stdin: FromStdin = False,
    as_json: AsJson = False,
) -> int:
    """Add a user."""
    from cli import people

    return do(people.add(name, role.value, program=program, stdin=password_stdin, as_json=as_json))


@users.command("list")
def user_list(as_json: AsJson = False) -> int:
    """List the users."""
    from cli import people

    return do(people.list_users(as_json=as_json))


@users.command("role")
def user_role(
    name: Name,
    role: Annotated[AsRole, typer.Argument(metavar="ROLE", help="director, operator, auditor or hr.")],
    as_json: AsJson = False,
) -> int:
    """Give a user another role. It counts at once, and their sign-ins end."""
    from cli import people

    return do(people.change(name, role=role.value, as_json=as_json))


@users.command("password")
def user_password(name: Name, password_stdin: FromStdin = False, as_json: AsJson = False) -> int:
    """Set a user's password. Their sign-ins end."""
    from cli import people

    return do(people.set_password(name, stdin=password_stdin, as_json=as_json))


@users.command("delete")
def user_delete(name: Name, as_json: AsJson = False) -> int:
    """Close the door to a user, their tokens and sign-ins. The name stays in the record."""
    from cli import people

    return do(people.delete(name, as_json=as_json))


@tokens.command("create")
def token_create(
    label: Annotated[str, typer.Argument(metavar="LABEL", help="What it is for, as in ci.")],
    user: Annotated[str, typer.Option(metavar="NAME", help="Whose it is.")],
    allow: Annotated[
        list[str] | None,
        typer.Option("--allow", metavar="PERMISSION", help="Good for this only; may repeat. [default: all]"),
    ] = None,
    project: Annotated[
        list[str] | None,
        typer.Option("--project", metavar="NAME", help="Bound to this project; may repeat. [default: none]"),
    ] = None,
    days: Annotated[int, typer.Option(min=1, max=366, metavar="N", help="How long it is good.")] = 90,
    as_json: AsJson = False,
) -> int:
    """Make an API token, and print its secret this once."""
    from cli import people

    return do(people.issue(label, user, allow or None, project or None, days, as_json=as_json))


@tokens.command("list")
def token_list(
    user: Annotated[str | None, typer.Option(metavar="NAME", help="Only this user's.")] = None,
    as_json: AsJson = False,
) -> int:
    """List the API tokens, without their secrets."""
    from cli import people

    return do(people.list_tokens(user, as_json=as_json))


@tokens.command("revoke")
def token_revoke(
    token: Annotated[str, typer.Argument(metavar="ID", help="The token's id, from list.")],
    as_json: AsJson = False,
) -> int:
    """End an API token, at once."""
    from cli import people

    return do(people.revoke(token, as_json=as_json))
