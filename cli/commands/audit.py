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
    run_id: Annotated[str | None, typer.Argument(metavar="RUN", help="One run; otherwise all.")] = None,
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


@app.command("forget")
def audit_forget(
    phrase: Annotated[str, typer.Argument(metavar="PHRASE", help="Words, in their order, in any case.")],
    reason: Annotated[str, typer.Option("--reason", metavar="WHY", help="Kept in the audit.")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> int:
    """Cut a phrase out of every text of every run, whatever it means there; it cannot be undone."""
    from cli import forgetting

    return do(forgetting.forget(phrase, reason, yes=yes, as_json=as_json))


@app.command("export")
def audit_export(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN FILE", help="A run, and the file (- for stdout); with --all the file alone."
        ),
    ],
    everything: Annotated[bool, typer.Option("--all", help="All runs.")] = False,
    as_json: AsJson = False,
) -> int:
    """Write chains and their texts to a JSONL file that proves itself."""
    from cli import exchanging

    file = exchanging.target(words, everything=everything)
    return do(exchanging.exported(None if everything else words[0], file, as_json=as_json))


@app.command("import")
def audit_import(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `audit export` has written.")],
    as_json: AsJson = False,
) -> int:
    """Take in the runs of an export, read-only; nothing of a file that is not whole."""
    from cli import exchanging

    return do(exchanging.imported(file, as_json=as_json))


@app.command("imported")
def audit_imported(as_json: AsJson = False) -> int:
    """List the runs that were imported."""
    from cli import exchanging

    return do(exchanging.listing(as_json=as_json))
