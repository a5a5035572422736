"""`factory audit`: the proof of what happened."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.commands.options import AsJson, do, family

app = family("The audit of what happened.")


@app.command("verify")
def audit_verify(
    run_id: Annotated[str | None, typer.Argument(metavar="[RUN]", help="One run; otherwise all.")] = None,
    as_json: AsJson = False,
) -> int:
    """Prove that no event was changed, removed or put in (0: whole, 4: broken)."""
    from cli import auditing

    return do(auditing.verify(run_id, as_json=as_json))
