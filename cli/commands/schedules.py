"""`factory schedule`: what a project is given again and again."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.commands.options import ApproveAll, AsJson, Budget, Pipeline, ProjectName, Server, do, family

app = family("Schedules: what a project is given again and again, by workers.")

ScheduleId = Annotated[
    str, typer.Argument(metavar="ID", help="The schedule's id, or the unique beginning of one.")
]


@app.command("add")
def add(
    project: ProjectName,
    requirement: Annotated[
        str | None,
        typer.Argument(
            metavar="REQUIREMENT", help="What each run is given: a text, the path of a text file, or -."
        ),
    ] = None,
    inbox: Annotated[
        bool,
        typer.Option("--inbox", help="In place of a requirement: make runs of the letters in the inbox."),
    ] = False,
    cron: Annotated[
        str | None, typer.Option(metavar="FIELDS", help="Five fields, as in '0 6 * * 1-5'.")
    ] = None,
    timezone: Annotated[
        str | None, typer.Option(metavar="ZONE", help="In which the fields are read. [default: UTC]")
    ] = None,
    every: Annotated[
        str | None, typer.Option(metavar="INTERVAL", help="In place of --cron: 90s, 30m, 2h, 1d.")
    ] = None,
    pipeline: Pipeline = "full",
    approve_all: ApproveAll = False,
    budget: Budget = None,
    server: Server = None,
    as_json: AsJson = False,
) -> int:
    """Have a worker submit a run at each of these times."""
    from cli import requirement as requirements

    text = "" if requirement is None else requirements.read(requirement)

    from cli import scheduling

    when = scheduling.times(cron, timezone, every)
    work = scheduling.work(text, inbox=inbox, pipeline=pipeline, approve_all=approve_all, budget=budget)
    if server:
        from cli.remote import scheduling as elsewhere

        return do(elsewhere.add(server, project, work, when, as_json=as_json))
    return do(scheduling.add(project, work, when, as_json=as_json))


@app.command("list")
def list_(
    project: Annotated[str | None, typer.Argument(metavar="PROJECT", help="Of this project only.")] = None,
    server: Server = None,
    as_json: AsJson = False,
) -> int:
    """List the schedules, and what became of their last time."""
    if server:
        from cli.remote import scheduling as elsewhere

        return do(elsewhere.list_(server, project, as_json=as_json))
    from cli import scheduling

    return do(scheduling.list_(project, as_json=as_json))


@app.command("pause")
def pause(schedule: ScheduleId, server: Server = None, as_json: AsJson = False) -> int:
    """Let a schedule rest."""
    if server:
        from cli.remote import scheduling as elsewhere

        return do(elsewhere.pause(server, schedule, as_json=as_json))
    from cli import scheduling

    return do(scheduling.pause(schedule, as_json=as_json))


@app.command("resume")
def resume(schedule: ScheduleId, server: Server = None, as_json: AsJson = False) -> int:
    """Let a schedule go on with its next time."""
    if server:
        from cli.remote import scheduling as elsewhere

        return do(elsewhere.resume(server, schedule, as_json=as_json))
    from cli import scheduling

    return do(scheduling.resume(schedule, as_json=as_json))


@app.command("remove")
def remove(schedule: ScheduleId, server: Server = None, as_json: AsJson = False) -> int:
    """Take a schedule away. Runs that it has started go on."""
    if server:
        from cli.remote import scheduling as elsewhere

        return do(elsewhere.remove(server, schedule, as_json=as_json))
    from cli import scheduling

    return do(scheduling.remove(schedule, as_json=as_json))
