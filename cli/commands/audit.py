"""`factory audit`: the proof of what happened."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.commands.options import AsJson, do, family

app = family("The audit of what happened.")


Key = Annotated[
    Path | None,
    typer.Option(
        "--key", metavar="FILE", help="The public key that must have signed it. [default: this factory's]"
    ),
]


@app.command("verify")
def audit_verify(
    run_id: Annotated[str | None, typer.Argument(metavar="[RUN]", help="One run; otherwise all.")] = None,
    against: Annotated[
        Path | None,
        typer.Option("--against", metavar="FILE", help="A checkpoint that the chains must lead through."),
    ] = None,
    key: Key = None,
    as_json: AsJson = False,
) -> int:
    """Prove that no event and no text was changed, removed or put in (0: whole, 4: broken)."""
    from cli import auditing

    return do(auditing.verify(run_id, against, key, as_json=as_json))


@app.command("checkpoint")
def audit_checkpoint(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write it; keep it elsewhere.")],
    as_json: AsJson = False,
) -> int:
    """Sign where all chains stand now, for `audit verify --against`."""
    from cli import auditing

    return do(auditing.checkpoint(file, as_json=as_json))


@app.command("search")
def audit_search(
    phrase: Annotated[str, typer.Argument(metavar="PHRASE", help="Words, in their order, in any case.")],
    run_id: Annotated[str | None, typer.Option("--run", metavar="RUN", help="In this run only.")] = None,
    limit: Annotated[int, typer.Option(metavar="N", help="Places to show at most, up to 1,000.")] = 20,
    as_json: AsJson = False,
) -> int:
    """Find a phrase in all that any run was given, said, asked, answered and wrote."""
    from cli import searching

    return do(searching.find(phrase, run_id, limit, as_json=as_json))
