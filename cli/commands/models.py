"""`factory models`: who answers."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.commands.options import AsJson, do, family

app = family("Who answers: aliases, pools, accounts.", lone=False)


@app.callback(invoke_without_command=True)
def models(context: typer.Context, as_json: AsJson = False) -> int:
    """List the aliases, the pools and their accounts."""
    if context.invoked_subcommand is None:
        from cli import accounts

        return do(accounts.listing(as_json=as_json))
    return 0


@app.command()
def check(
    account: Annotated[str | None, typer.Argument(metavar="ACCOUNT", help="Ask this account only.")] = None,
    as_json: AsJson = False,
) -> int:
    """Ask every account one tiny question; exit code 4 when one does not answer."""
    from cli import accounts

    return do(accounts.checking(account, as_json=as_json))


@app.command()
def why(
    name: Annotated[str, typer.Argument(metavar="ALIAS|TEAM", help="An alias, or a team's id.")],
    project: Annotated[
        str | None, typer.Option(metavar="NAME", help="As this project sees it: its aliases, local_only.")
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Explain who is chosen, and why the others are not."""
    from cli import accounts

    return do(accounts.explaining(name, project, as_json=as_json))
