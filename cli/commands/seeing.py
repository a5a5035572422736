"""What shows the runs, the teams and this machine."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from cli.commands.options import AsJson, RunId, Server, do, family

app = family("")


class By(StrEnum):
    """What costs are summed up by; models/spending/costs.py knows how."""

    team = "team"
    alias = "alias"
    account = "account"
    model = "model"
    project = "project"
    day = "day"


@app.command()
def runs(
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many, newest first.")] = 20,
    server: Server = None,
    as_json: AsJson = False,
) -> int:
    """List the runs."""
    if server:
        from cli.remote import runs as elsewhere

        return do(elsewhere.runs(server, limit, as_json=as_json))
    from cli import reading

    return do(reading.runs(limit, as_json=as_json))


@app.command()
def show(run_id: RunId, server: Server = None, as_json: AsJson = False) -> int:
    """Show a run: stages, result, what it waits for."""
    if server:
        from cli.remote import runs as elsewhere

        return do(elsewhere.show(server, run_id, as_json=as_json))
    from cli import reading

    return do(reading.show(run_id, as_json=as_json))


@app.command()
def diff(
    run_id: RunId,
    stat: Annotated[bool, typer.Option("--stat", help="A table of files instead of the patch.")] = False,
    as_json: AsJson = False,
) -> int:
    """Show what a run changed, from where it began to where it is."""
    from cli import reading

    return do(reading.diff(run_id, stat=stat, as_json=as_json))


@app.command()
def watch(run_id: RunId, server: Server = None, as_json: AsJson = False) -> int:
    """Follow a run that works elsewhere, to its end.

    Without a terminal it also stops when the run waits for a person.
    """
    if server:
        from cli.remote import runs as elsewhere

        return do(elsewhere.watch(server, run_id, as_json=as_json))
    from cli import reading

    return do(reading.watch(run_id, as_json=as_json))


@app.command()
def replay(
    run_id: RunId,
    kind: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND", help="Only events of this kind (gate.decided) or family (model); may repeat."
        ),
    ] = None,
    step: Annotated[
        bool, typer.Option("--step", help="Step for step, with briefs, memories, results and costs.")
    ] = False,
    at: Annotated[
        int | None, typer.Option(metavar="SEQ", help="The step of this event, and where the run was then.")
    ] = None,
    stage: Annotated[
        str | None, typer.Option(metavar="STAGE", help="The steps of this stage: a team, or team.round.")
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Walk through all that happened in a run, from its log alone."""
    from cli import replaying

    wanted = replaying.Wanted(tuple(kind or ()), step, at, stage)
    return do(replaying.replay(run_id, wanted, as_json=as_json))


@app.command()
def costs(
    by: Annotated[By, typer.Option(help="What to sum up by.")] = By.team,
    run_id: Annotated[str | None, typer.Option("--run", metavar="RUN", help="Of one run only.")] = None,
    project: Annotated[str | None, typer.Option(metavar="NAME", help="Of one project only.")] = None,
    since: Annotated[str | None, typer.Option(metavar="DAY", help="From this day (UTC) on.")] = None,
    until: Annotated[str | None, typer.Option(metavar="DAY", help="Up to this day (UTC).")] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV on stdout.")] = False,
    server: Server = None,
    as_json: AsJson = False,
) -> int:
    """Sum up what was spent on models."""
    if server:
        from cli.remote import seeing as elsewhere

        return do(
            elsewhere.costs(
                server, by.value, run=run_id, project=project, since=since, until=until, as_csv=as_csv,
                as_json=as_json,
            )
        )  # fmt: skip
    from cli import costs as spending

    return do(
        spending.costs(
            by.value, run=run_id, project=project, since=since, until=until, as_csv=as_csv, as_json=as_json
        )
    )


@app.command()
def teams(
    team: Annotated[str | None, typer.Argument(metavar="TEAM", help="One team, in full.")] = None,
    as_json: AsJson = False,
) -> int:
    """List the teams, or show one."""
    from cli import roster

    return roster.teams(team, as_json=as_json)


@app.command()
def doctor(
    server: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Check the service that answers there, with FACTORY_TOKEN."),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Check that this machine has what is needed, or that a service elsewhere works."""
    from cli import doctor as checks

    return do(checks.doctor(server, as_json=as_json))
