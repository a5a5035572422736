"""`factory mail`: a project's mail."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.commands.options import AsJson, Model, Pipeline, ProjectName, do, family

app = family("A project's mail.")


@app.command("list")
def mail_list(project: ProjectName, as_json: AsJson = False) -> int:
    """List a project's threads, newest first, and what lies in its inbox."""
    from cli import mail

    return do(mail.show_list(project, as_json=as_json))


@app.command("show")
def mail_show(
    project: ProjectName,
    thread: Annotated[str, typer.Argument(metavar="THREAD", help="Its id, or the unique beginning of one.")],
    as_json: AsJson = False,
) -> int:
    """Show a thread's messages."""
    from cli import mail

    return do(mail.show(project, thread, as_json=as_json))


@app.command("search")
def mail_search(
    project: ProjectName,
    words: Annotated[list[str], typer.Argument(metavar="WORD…", help="Words that a message must hold.")],
    as_json: AsJson = False,
) -> int:
    """Find messages by the words in them."""
    from cli import mail

    return do(mail.find(project, " ".join(words), as_json=as_json))


@app.command("send")
def mail_send(
    project: ProjectName,
    body: Annotated[str, typer.Argument(metavar="TEXT", help="What to say; - for stdin.")],
    to: Annotated[
        str | None, typer.Option(metavar="TEAM", help="A team of the run. Without, it is an objective.")
    ] = None,
    run_id: Annotated[
        str | None, typer.Option("--run", metavar="RUN", help="The run whose team is to read it.")
    ] = None,
    subject: Annotated[str, typer.Option(metavar="LINE", help="What it is about.")] = "",
    as_json: AsJson = False,
) -> int:
    """Leave a note for a team of a run, or an objective in the inbox. It decides nothing."""
    from cli import mail

    return do(mail.send(project, body, to=to, run=run_id, subject=subject, as_json=as_json))


@app.command("deliver")
def mail_deliver(
    project: ProjectName,
    pipeline: Pipeline = "full",
    model: Model = None,
    as_json: AsJson = False,
) -> int:
    """Make a run of each file in the inbox, go on with those that wait, and write what became of them."""
    from cli import delivering

    return do(delivering.deliver(project, pipeline=pipeline, model=model, as_json=as_json))
