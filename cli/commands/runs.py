"""What makes a run and moves it along."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.commands.options import (
    ApproveAll,
    AsJson,
    Budget,
    IfActive,
    Model,
    Pipeline,
    Record,
    RunId,
    Server,
    Unsafe,
    do,
    family,
)

app = family("")


@app.command()
def run(
    requirement: Annotated[
        str, typer.Argument(metavar="REQUIREMENT", help="A text, the path of a text file, or - for stdin.")
    ],
    project: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The project to work in. [default: named after the text]"),
    ] = None,
    repo: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            exists=True,
            file_okay=False,
            help="Start a new project from this repository; it is copied, not changed.",
        ),
    ] = None,
    pipeline: Pipeline = "full",
    model: Model = None,
    approve_all: ApproveAll = False,
    budget: Budget = None,
    record: Record = None,
    if_active: IfActive = None,
    replay: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Have a recorded run answer in place of any model."),
    ] = None,
    unsafe_no_sandbox: Unsafe = False,
    server: Server = None,
    as_json: AsJson = False,
) -> int:
    """Turn a requirement into tested software in a git repository."""
    from cli import requirement as requirements

    # Read before anything is loaded or opened: bad input is told at once, and leaves not as much as a folder.
    text = requirements.read(requirement)

    if server:
        from cli.remote import connecting, runs

        connecting.refuse(model=model, record=record, replay=replay, unsafe_no_sandbox=unsafe_no_sandbox)
        return do(
            runs.run(
                server,
                text,
                project=project,
                repo=repo,
                pipeline=pipeline,
                approve_all=approve_all,
                budget=budget,
                if_active=if_active,
                as_json=as_json,
            )
        )

    from cli import running

    return do(
        running.run(
            text,
            project=project,
            repo=repo,
            pipeline=pipeline,
            model=running.chosen(model, record, replay),
            approve_all=approve_all,
            budget=budget,
            if_active=if_active,
            record=record,
            unsafe_no_sandbox=unsafe_no_sandbox,
            as_json=as_json,
        )
    )


@app.command()
def change(
    target: Annotated[
        str, typer.Argument(metavar="RUN|PROJECT", help="A finished run, or a project as its main is now.")
    ],
    text: Annotated[
        str, typer.Argument(metavar="CHANGE", help="A text, the path of a text file, or - for stdin.")
    ],
    repo: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            exists=True,
            file_okay=False,
            help="Make PROJECT from this repository first; it is copied, not changed.",
        ),
    ] = None,
    pipeline: Annotated[
        str | None, typer.Option(metavar="NAME", help="full or core. [default: the newest run's]")
    ] = None,
    model: Model = None,
    approve_all: ApproveAll = False,
    budget: Budget = None,
    if_active: IfActive = None,
    unsafe_no_sandbox: Unsafe = False,
    as_json: AsJson = False,
) -> int:
    """Change what a run made or a repository holds; only the teams that it concerns work."""
    from cli import requirement as requirements

    wanted = requirements.read(text)

    from cli import running

    return do(
        running.change(
            target,
            wanted,
            repo=repo,
            pipeline=pipeline,
            model=model,
            approve_all=approve_all,
            budget=budget,
            if_active=if_active,
            unsafe_no_sandbox=unsafe_no_sandbox,
            as_json=as_json,
        )
    )


@app.command()
def resume(
    run_id: RunId, record: Record = None, unsafe_no_sandbox: Unsafe = False, as_json: AsJson = False
) -> int:
    """Continue a run that was interrupted, paused or answered."""
    from cli import running

    return do(running.resume(run_id, record=record, unsafe_no_sandbox=unsafe_no_sandbox, as_json=as_json))


@app.command()
def rollback(
    run_id: RunId,
    stage: Annotated[
        str,
        typer.Argument(
            metavar="STAGE", help="The team whose end to go back to, or `plan` for before them all."
        ),
    ],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> int:
    """Take a run back to where a stage had ended: what came after it is undone, nothing of it is lost."""
    from cli import running

    return do(running.rollback(run_id, stage, yes=yes, as_json=as_json))


@app.command()
def cancel(
    run_id: RunId,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why, for the record.")] = "",
    server: Server = None,
    as_json: AsJson = False,
) -> int:
    """End a run, whichever process drives it. What it merged stays on its branch."""
    if server:
        from cli.remote import runs

        return do(runs.cancel(server, run_id, reason, as_json=as_json))

    from cli import controlling

    return do(controlling.cancel(run_id, reason, as_json=as_json))


@app.command()
def pause(
    run_id: RunId,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why, for the record.")] = "",
    as_json: AsJson = False,
) -> int:
    """Have a run stand still, whichever process drives it, until `factory resume`."""
    from cli import controlling

    return do(controlling.pause(run_id, reason, as_json=as_json))


@app.command()
def purge(
    run_id: RunId,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why, for the record.")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> int:
    """Remove for good what an ended run said and kept, once its time is over; its chain of events stays."""
    from cli import forgetting

    return do(forgetting.purge(run_id, reason, yes=yes, as_json=as_json))
