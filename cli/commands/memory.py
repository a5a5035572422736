"""`factory memory`: what the teams of a project remember."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from cli.commands.options import AsJson, ProjectName, Server, do, family

app = family("What the teams of a project remember, and why.")

MemoryId = Annotated[str, typer.Argument(metavar="MEMORY", help="A memory's id: m2.17 or 2.17.")]
Kinds = Annotated[
    list[str] | None,
    typer.Option("--kind", metavar="KIND", help="fact, experience, decision or directive; may be repeated."),
]
TeamName = Annotated[str | None, typer.Option("--team", metavar="TEAM", help="The bank of this team only.")]
Shared = Annotated[bool, typer.Option("--shared", help="The bank that all teams of the project read.")]


@app.command()
def search(
    project: ProjectName,
    words: Annotated[list[str], typer.Argument(metavar="WORD…", help="What you want to know, in words.")],
    team: TeamName = None,
    shared: Shared = False,
    kinds: Kinds = None,
    limit: Annotated[int, typer.Option(metavar="N", min=1, max=200, help="At most so many.")] = 10,
    as_of: Annotated[
        datetime | None, typer.Option("--as-of", metavar="TIME", help="As it was known then, in UTC.")
    ] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Show what each score is made of.")] = False,
    server: Server = None,
    as_json: AsJson = False,
) -> int:
    """Find what the teams know about something, the best first."""
    from graph.memories import Wanted

    wanted = Wanted(project, team, shared=shared, kinds=tuple(kinds or ()))
    if server:
        from cli.remote import seeing

        return do(
            seeing.search(server, wanted, " ".join(words), limit, as_of, explain=explain, as_json=as_json)
        )

    from cli import memory

    return do(memory.search(wanted, " ".join(words), limit, as_of, explain=explain, as_json=as_json))


@app.command()
def show(
    what: Annotated[str, typer.Argument(metavar="MEMORY|PROJECT", help="A memory's id, or a project.")],
    team: TeamName = None,
    shared: Shared = False,
    kinds: Kinds = None,
    past: Annotated[
        bool, typer.Option("--past", help="Also what holds no more; what was forgotten never.")
    ] = False,
    limit: Annotated[int, typer.Option(metavar="N", min=1, max=10_000, help="The newest so many.")] = 50,
    as_json: AsJson = False,
) -> int:
    """Show a memory whole, the banks of a project, or what lies in one of them."""
    from cli import memory
    from graph.memories import Wanted

    wanted = Wanted(what, team, shared=shared, kinds=tuple(kinds or ()))
    return do(memory.show(wanted, past=past, limit=limit, as_json=as_json))


@app.command()
def add(
    project: ProjectName,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="What is to be remembered; - for stdin.")],
    team: TeamName = None,
    shared: Shared = False,
    kind: Annotated[
        str, typer.Option(metavar="KIND", help="directive (a rule that always holds), fact or decision.")
    ] = "directive",
    as_json: AsJson = False,
) -> int:
    """Tell a team, or all of them, a rule or a fact. It stands in your name."""
    from cli import remembering
    from graph.memories import Wanted

    return do(remembering.add(Wanted(project, team, shared=shared), text, kind, as_json=as_json))


@app.command()
def forget(
    memories: Annotated[list[str], typer.Argument(metavar="MEMORY…", help="Ids: m2.17 or 2.17.")],
    reason: Annotated[str, typer.Option("--reason", metavar="WHY", help="Kept in the audit.")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> int:
    """Take memories out of wherever they stand, with all that was made of them; it cannot be undone."""
    from cli import remembering

    return do(remembering.forget(memories, reason, yes=yes, as_json=as_json))


@app.command()
def promote(memory_id: MemoryId, as_json: AsJson = False) -> int:
    """Share a team's memory with all teams of its project."""
    from cli import remembering

    return do(remembering.promote(memory_id, as_json=as_json))


@app.command()
def why(
    phrase: Annotated[str, typer.Argument(metavar="PHRASE", help="What is believed, in words.")],
    run_id: Annotated[
        str | None, typer.Option("--run", metavar="RUN", help="Who believed it: a run's id, or `last`.")
    ] = None,
    stage: Annotated[
        str | None, typer.Option("--stage", metavar="STAGE", help="A stage of that run, by its team.")
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Why does a stage believe this? Names run, stage, file and line."""
    from cli import believing

    return do(believing.why(phrase, run_id, stage, as_json=as_json))


@app.command()
def models(
    project: Annotated[str | None, typer.Argument(metavar="PROJECT", help="Its pages.")] = None,
    team: Annotated[str | None, typer.Argument(metavar="TEAM", help="The page of this team.")] = None,
    version: Annotated[int | None, typer.Option("--version", metavar="N", min=1, help="An old one.")] = None,
    versions: Annotated[bool, typer.Option("--versions", help="List all versions.")] = False,
    diff: Annotated[bool, typer.Option("--diff", help="What its last version, or N, changed.")] = False,
    edit: Annotated[
        Path | None,
        typer.Option("--edit", metavar="FILE", help="Put this in its place; - for stdin. Yours stays."),
    ] = None,
    based_on: Annotated[
        int | None,
        typer.Option(
            "--based-on",
            metavar="N",
            min=0,
            help="The version you began from. [default: what FILE says, or the newest]",
        ),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """List, show, compare and edit mental models: the short page of what a team has learned."""
    from cli import pages

    if edit is not None:
        return do(pages.edit(project, team, edit, based_on, as_json=as_json))
    return do(pages.show(project, team, version, versions=versions, diff=diff, as_json=as_json))
