"""What a person says to a run that waits."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.commands.options import AsJson, Server, do, family

app = family("")

ApprovalId = Annotated[
    str, typer.Argument(metavar="APPROVAL", help="The id of the question, or its unique beginning.")
]
NoResume = Annotated[bool, typer.Option("--no-resume", help="Record it only; do not drive the run here.")]


@app.command()
def answer(
    approval_id: ApprovalId,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="The answer.")],
    no_resume: NoResume = False,
    server: Server = None,
    as_json: AsJson = False,
) -> int:
    """Answer a question in words, and continue the run."""
    if server:
        from cli.remote import runs

        return do(runs.answer(server, approval_id, text, go_on=not no_resume, as_json=as_json))
    from cli import deciding

    return do(deciding.answer(approval_id, text, go_on=not no_resume, as_json=as_json))


@app.command()
def approve(
    approval_id: ApprovalId,
    note: Annotated[
        str | None, typer.Option(metavar="TEXT", help="A note for the record; of a budget, the US dollars.")
    ] = None,
    no_resume: NoResume = False,
    server: Server = None,
    as_json: AsJson = False,
) -> int:
    """Say yes to what waits, and continue the run."""
    if server:
        from cli.remote import runs

        return do(runs.decide(server, approval_id, "approve", note, go_on=not no_resume, as_json=as_json))
    from cli import deciding

    return do(deciding.decide(approval_id, "approve", note, go_on=not no_resume, as_json=as_json))


@app.command()
def reject(
    approval_id: ApprovalId,
    reason: Annotated[str | None, typer.Option(metavar="TEXT", help="Why; the teams read it.")] = None,
    no_resume: NoResume = False,
    server: Server = None,
    as_json: AsJson = False,
) -> int:
    """Say no to what waits; the run acts on it."""
    if server:
        from cli.remote import runs

        return do(runs.decide(server, approval_id, "reject", reason, go_on=not no_resume, as_json=as_json))
    from cli import deciding

    return do(deciding.decide(approval_id, "reject", reason, go_on=not no_resume, as_json=as_json))
