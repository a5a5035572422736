"""`factory backup` and `factory restore`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.commands.options import AsJson, do, family

app = family("Everything in one file, and back.")


@app.command()
def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write it, as in factory.tar.gz.")],
    as_json: AsJson = False,
) -> int:
    """Write database, repositories and keys to one file, while the factory works. Keep it like a key."""
    from cli import backing

    return do(backing.backup(file, as_json=as_json))


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `factory backup` wrote.")],
    as_json: AsJson = False,
) -> int:
    """Make a factory from a backup, in a FACTORY_HOME and a database that are empty."""
    from cli import backing

    return do(backing.restore(file, as_json=as_json))
