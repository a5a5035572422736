"""`factory project`: what is set for a project."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.commands.options import AsJson, ProjectName, Server, do, family

app = family("A project's settings, and what its runs left.")


@app.command("list")
def project_list(server: Server = None, as_json: AsJson = False) -> int:
    """List the projects."""
    if server:
        from cli.remote import seeing

        return do(seeing.project_list(server, as_json=as_json))

    from cli import projects

    return do(projects.list_(as_json=as_json))


@app.command("show")
def project_show(name: ProjectName, as_json: AsJson = False) -> int:
    """Show what is set for a project."""
    from cli import projects

    return do(projects.show(name, as_json=as_json))


@app.command("clean")
def project_clean(
    name: ProjectName,
    run: Annotated[str | None, typer.Option(metavar="RUN", help="Only those of this run.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go; remove nothing.")] = False,
    as_json: AsJson = False,
) -> int:
    """Remove the worktrees that failed stages of ended runs left. What was not merged is in them only."""
    from cli import projects

    return do(projects.clean(name, run=run, dry=dry_run, as_json=as_json))


@app.command("sync")
def project_sync(name: ProjectName, as_json: AsJson = False) -> int:
    """Move the project's main forward to what its remote has, so that changes begin from there."""
    from cli import projects

    return do(projects.sync(name, as_json=as_json))


@app.command("set-remote")
def project_set_remote(
    name: ProjectName,
    url: Annotated[str, typer.Argument(metavar="URL", help="What git pushes to, without any password.")],
    forge: Annotated[str, typer.Option(metavar="NAME", help="github, gitlab or gitea.")],
    token_env: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The variable, or the absolute path of a file, with the token."),
    ] = None,
    base: Annotated[
        str | None,
        typer.Option(metavar="BRANCH", help="Where pull requests go. [default: the forge's default branch]"),
    ] = None,
    branch_prefix: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Before the run's id. [default: factory/]")
    ] = None,
    api: Annotated[
        str | None, typer.Option(metavar="URL", help="The forge's API. [default: from the URL]")
    ] = None,
    repository: Annotated[
        str | None, typer.Option(metavar="OWNER/NAME", help="[default: from the URL]")
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Let finished runs be pushed to a remote as a pull request."""
    from cli import projects

    fields = {
        "url": url,
        "forge": forge,
        "token_env": token_env,
        "base": base,
        "branch_prefix": branch_prefix,
        "api": api,
        "repository": repository,
    }
    return do(projects.set_remote(name, fields, as_json=as_json))
