"""The `factory` command: its words and options. What a command does stands in the module it imports.

Nothing heavy is imported here, so that `factory --help` answers at once (benchmarks/cli_help.py measures it).
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from core.errors import FactoryError

app = typer.Typer(
    name="factory",
    no_args_is_help=True,
    add_completion=False,
    # Rich's help costs as much time as everything else together.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="A requirement goes in, seventeen teams work, tested software in a git repository comes out.",
    epilog="Exit codes: 0 completed, 2 usage, 3 waits for a person, 4 failed, 5 rejected, 130 interrupted.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
audit_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="The audit of what happened.")
app.add_typer(audit_app, name="audit")
mcp_app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="MCP servers, for editors and assistants."
)
app.add_typer(mcp_app, name="mcp")
models_app = typer.Typer(rich_markup_mode=None, help="Who answers: aliases, pools, accounts.")
app.add_typer(models_app, name="models")
project_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="A project's settings.")
app.add_typer(project_app, name="project")

mail_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="A project's mail.")
app.add_typer(mail_app, name="mail")

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else.")]
RunId = Annotated[
    str, typer.Argument(metavar="RUN", help="A run's id, the unique beginning of one, or `last`.")
]
ApprovalId = Annotated[
    str, typer.Argument(metavar="APPROVAL", help="The id of the question, or its unique beginning.")
]
Record = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Write the run's model calls to this file, secrets masked."),
]
Unsafe = Annotated[
    bool,
    typer.Option(
        "--unsafe-no-sandbox", help="Run the teams' code without isolation, where no sandbox works."
    ),
]
Http = Annotated[
    str | None,
    typer.Option(
        "--http", metavar="HOST:PORT", help="Serve streamable HTTP here, with a token that is printed."
    ),
]
Stdio = Annotated[bool, typer.Option("--stdio", help="Serve standard input and output. [default]")]

Budget = Annotated[
    str | None,
    typer.Option("--budget", metavar="USD", help="What the run may spend on models, as in 0.10."),
]
NoResume = Annotated[bool, typer.Option("--no-resume", help="Record it only; do not continue the run.")]


class By(StrEnum):
    """What costs are summed up by; models/spending/costs.py knows how."""

    team = "team"
    alias = "alias"
    account = "account"
    model = "model"
    project = "project"
    day = "day"


class AsRole(StrEnum):
    """The roles of governance/roles.py, by name."""

    auditor = "auditor"
    operator = "operator"
    director = "director"


class Interrupted(FactoryError):
    """Interrupted."""

    exit_code = 130


def _do(work: Coroutine[Any, Any, int]) -> int:
    try:
        return asyncio.run(work)
    except KeyboardInterrupt:
        raise Interrupted(todo="See what there is with: factory runs") from None


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"factory {version('factory-ai')}")
        raise typer.Exit


@app.callback()
def _root(  # pyright: ignore[reportUnusedFunction]
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None: ...


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
    pipeline: Annotated[
        str, typer.Option(metavar="NAME", help="full (17 teams) or core (5 teams).")
    ] = "full",
    model: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Put this model behind every team; `offline` is the scripted one."),
    ] = None,
    approve_all: Annotated[
        bool, typer.Option("--approve-all", help="Approve what would wait for a person; recorded as such.")
    ] = False,
    budget: Budget = None,
    record: Record = None,
    replay: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Have a recorded run answer in place of any model."),
    ] = None,
    unsafe_no_sandbox: Unsafe = False,
    as_json: AsJson = False,
) -> int:
    """Turn a requirement into tested software in a git repository."""
    from cli import requirement as requirements

    # Read before anything is loaded or opened: bad input is told at once, and leaves not as much as a folder.
    text = requirements.read(requirement)

    from cli import running

    return _do(
        running.run(
            text,
            project=project,
            repo=repo,
            pipeline=pipeline,
            model=running.chosen(model, record, replay),
            approve_all=approve_all,
            budget=budget,
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
    model: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Put this model behind every team; `offline` is the scripted one."),
    ] = None,
    approve_all: Annotated[
        bool, typer.Option("--approve-all", help="Approve what would wait for a person; recorded as such.")
    ] = False,
    budget: Budget = None,
    unsafe_no_sandbox: Unsafe = False,
    as_json: AsJson = False,
) -> int:
    """Change what a run made or a repository holds; only the teams that it concerns work."""
    from cli import requirement as requirements

    wanted = requirements.read(text)

    from cli import running

    return _do(
        running.change(
            target,
            wanted,
            repo=repo,
            pipeline=pipeline,
            model=model,
            approve_all=approve_all,
            budget=budget,
            unsafe_no_sandbox=unsafe_no_sandbox,
            as_json=as_json,
        )
    )


@app.command()
def diff(
    run_id: RunId,
    stat: Annotated[bool, typer.Option("--stat", help="A table of files instead of the patch.")] = False,
    as_json: AsJson = False,
) -> int:
    """Show what a run changed, from where it began to where it is."""
    from cli import reading

    return _do(reading.diff(run_id, stat=stat, as_json=as_json))


@app.command()
def resume(
    run_id: RunId, record: Record = None, unsafe_no_sandbox: Unsafe = False, as_json: AsJson = False
) -> int:
    """Continue a run that was interrupted or answered."""
    from cli import running

    return _do(running.resume(run_id, record=record, unsafe_no_sandbox=unsafe_no_sandbox, as_json=as_json))


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

    return _do(running.rollback(run_id, stage, yes=yes, as_json=as_json))


@app.command()
def runs(
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many, newest first.")] = 20,
    as_json: AsJson = False,
) -> int:
    """List the runs."""
    from cli import reading

    return _do(reading.runs(limit, as_json=as_json))


@app.command()
def show(run_id: RunId, as_json: AsJson = False) -> int:
    """Show a run: stages, result, what it waits for."""
    from cli import reading

    return _do(reading.show(run_id, as_json=as_json))


@app.command()
def costs(
    by: Annotated[By, typer.Option(help="What to sum up by.")] = By.team,
    run_id: Annotated[str | None, typer.Option("--run", metavar="RUN", help="Of one run only.")] = None,
    project: Annotated[str | None, typer.Option(metavar="NAME", help="Of one project only.")] = None,
    since: Annotated[str | None, typer.Option(metavar="DAY", help="From this day (UTC) on.")] = None,
    until: Annotated[str | None, typer.Option(metavar="DAY", help="Up to this day (UTC).")] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV on stdout.")] = False,
    as_json: AsJson = False,
) -> int:
    """Sum up what was spent on models."""
    from cli import costs as spending

    return _do(
        spending.costs(
            by.value, run=run_id, project=project, since=since, until=until, as_csv=as_csv, as_json=as_json
        )
    )


@app.command()
def watch(run_id: RunId, as_json: AsJson = False) -> int:
    """Follow a run that works elsewhere, to its end.

    Without a terminal it also stops when the run waits for a person.
    """
    from cli import reading

    return _do(reading.watch(run_id, as_json=as_json))


@app.command()
def answer(
    approval_id: ApprovalId,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="The answer.")],
    no_resume: NoResume = False,
    as_json: AsJson = False,
) -> int:
    """Answer a question in words, and continue the run."""
    from cli import deciding

    return _do(deciding.answer(approval_id, text, go_on=not no_resume, as_json=as_json))


@app.command()
def approve(
    approval_id: ApprovalId,
    note: Annotated[
        str | None, typer.Option(metavar="TEXT", help="A note for the record; of a budget, the US dollars.")
    ] = None,
    no_resume: NoResume = False,
    as_json: AsJson = False,
) -> int:
    """Say yes to what waits, and continue the run."""
    from cli import deciding

    return _do(deciding.decide(approval_id, "approve", note, go_on=not no_resume, as_json=as_json))


@app.command()
def reject(
    approval_id: ApprovalId,
    reason: Annotated[str | None, typer.Option(metavar="TEXT", help="Why; the teams read it.")] = None,
    no_resume: NoResume = False,
    as_json: AsJson = False,
) -> int:
    """Say no to what waits; the run acts on it."""
    from cli import deciding

    return _do(deciding.decide(approval_id, "reject", reason, go_on=not no_resume, as_json=as_json))


@models_app.callback(invoke_without_command=True)
def models(context: typer.Context, as_json: AsJson = False) -> int:
    """List the aliases, the pools and their accounts."""
    if context.invoked_subcommand is None:
        from cli import accounts

        return _do(accounts.listing(as_json=as_json))
    return 0


@models_app.command()
def check(
    account: Annotated[str | None, typer.Argument(metavar="ACCOUNT", help="Ask this account only.")] = None,
    as_json: AsJson = False,
) -> int:
    """Ask every account one tiny question; exit code 4 when one does not answer."""
    from cli import accounts

    return _do(accounts.checking(account, as_json=as_json))


@models_app.command()
def why(
    name: Annotated[str, typer.Argument(metavar="ALIAS|TEAM", help="An alias, or a team's id.")],
    project: Annotated[
        str | None, typer.Option(metavar="NAME", help="As this project sees it: its aliases, local_only.")
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Explain who is chosen, and why the others are not."""
    from cli import accounts

    return _do(accounts.explaining(name, project, as_json=as_json))


@app.command()
def teams(
    team: Annotated[str | None, typer.Argument(metavar="[TEAM]", help="One team, in full.")] = None,
    as_json: AsJson = False,
) -> int:
    """List the teams, or show one."""
    from cli import roster

    return roster.teams(team, as_json=as_json)


@app.command()
def doctor(as_json: AsJson = False) -> int:
    """Check that this machine has what is needed."""
    from cli import doctor as checks

    return _do(checks.doctor(as_json=as_json))


@app.command()
def replay(
    run_id: RunId,
    kind: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND", help="Only events of this kind (gate.decided) or family (model); may repeat."
        ),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Walk through all that happened in a run."""
    from cli import auditing

    return _do(auditing.replay(run_id, kind or [], as_json=as_json))


@project_app.command("show")
def project_show(
    name: Annotated[str, typer.Argument(metavar="PROJECT", help="The project.")], as_json: AsJson = False
) -> int:
    """Show what is set for a project."""
    from cli import projects

    return _do(projects.show(name, as_json=as_json))


@project_app.command("sync")
def project_sync(
    name: Annotated[str, typer.Argument(metavar="PROJECT", help="The project.")], as_json: AsJson = False
) -> int:
    """Move the project's main forward to what its remote has, so that changes begin from there."""
    from cli import projects

    return _do(projects.sync(name, as_json=as_json))


@project_app.command("set-remote")
def project_set_remote(
    name: Annotated[str, typer.Argument(metavar="PROJECT", help="The project.")],
    url: Annotated[str, typer.Argument(metavar="URL", help="What git pushes to, without any password.")],
    forge: Annotated[str, typer.Option(metavar="NAME", help="github, gitlab or gitea.")],
    token_env: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The variable, or the absolute path of a file, with the token."),
    ] = None,
    base: Annotated[
        str | None,
        typer.Option(metavar="BRANCH", help="Where pull requests go. [default: the forge's default branch]"),
    ] = None,
    branch_prefix: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Before the run's id. [default: factory/]")
    ] = None,
    api: Annotated[
        str | None, typer.Option(metavar="URL", help="The forge's API. [default: from the URL]")
    ] = None,
    repository: Annotated[
        str | None, typer.Option(metavar="OWNER/NAME", help="[default: from the URL]")
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Let finished runs be pushed to a remote as a pull request."""
    from cli import projects

    fields = {
        "url": url,
        "forge": forge,
        "token_env": token_env,
        "base": base,
        "branch_prefix": branch_prefix,
        "api": api,
        "repository": repository,
    }
    return _do(projects.set_remote(name, fields, as_json=as_json))


ProjectName = Annotated[str, typer.Argument(metavar="PROJECT", help="The project.")]


@mail_app.command("list")
def mail_list(project: ProjectName, as_json: AsJson = False) -> int:
    """List a project's threads, newest first, and what lies in its inbox."""
    from cli import mail

    return _do(mail.show_list(project, as_json=as_json))


@mail_app.command("show")
def mail_show(
    project: ProjectName,
    thread: Annotated[str, typer.Argument(metavar="THREAD", help="Its id, or the unique beginning of one.")],
    as_json: AsJson = False,
) -> int:
    """Show a thread's messages."""
    from cli import mail

    return _do(mail.show(project, thread, as_json=as_json))


@mail_app.command("search")
def mail_search(
    project: ProjectName,
    words: Annotated[list[str], typer.Argument(metavar="WORD…", help="Words that a message must hold.")],
    as_json: AsJson = False,
) -> int:
    """Find messages by the words in them."""
    from cli import mail

    return _do(mail.find(project, " ".join(words), as_json=as_json))


@mail_app.command("send")
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

    return _do(mail.send(project, body, to=to, run=run_id, subject=subject, as_json=as_json))


@mail_app.command("deliver")
def mail_deliver(
    project: ProjectName,
    pipeline: Annotated[
        str, typer.Option(metavar="NAME", help="full (17 teams) or core (5 teams).")
    ] = "full",
    model: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Put this model behind every team; `offline` is the scripted one."),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Make a run of each file in the inbox, go on with those that wait, and write what became of them."""
    from cli import delivering

    return _do(delivering.deliver(project, pipeline=pipeline, model=model, as_json=as_json))


@audit_app.command("verify")
def audit_verify(
    run_id: Annotated[str | None, typer.Argument(metavar="[RUN]", help="One run; otherwise all.")] = None,
    as_json: AsJson = False,
) -> int:
    """Prove that no event was changed, removed or put in (0: whole, 4: broken)."""
    from cli import auditing

    return _do(auditing.verify(run_id, as_json=as_json))


@mcp_app.command("workspace")
def mcp_workspace(http: Http = None, stdio: Stdio = False) -> int:
    """Serve the projects: sandboxes to read, write, patch, compare and take back. Nothing is merged."""
    from cli import serving

    return _do(serving.workspace(http, stdio))


@mcp_app.command("factory")
def mcp_factory(
    role: Annotated[
        AsRole, typer.Option(help="What a client may do: auditor reads, operator also submits and answers.")
    ] = AsRole.operator,
    model: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Put this model behind every team; `offline` is the scripted one."),
    ] = None,
    http: Http = None,
    stdio: Stdio = False,
) -> int:
    """Serve the factory: submit a requirement, follow it, answer; a director also approves."""
    from cli import serving

    return _do(serving.factory(role.value, model, http, stdio))


@mcp_app.command("trust")
def mcp_trust(
    project: Annotated[str, typer.Argument(metavar="PROJECT", help="The project's name.")],
    high: Annotated[
        list[str] | None,
        typer.Option("--high", metavar="SERVER/TOOL", help="Approve this HIGH tool; may repeat."),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Let teams use the MCP servers that a project's project.toml declares, exactly as it does now."""
    from cli import serving

    return _do(serving.trust(project, high or [], as_json))


def main() -> None:
    """Run the command line and leave with its exit code."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a character shows another one; it does not end the run.
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")
    sys.exit(call(sys.argv[1:]))


def call(arguments: list[str]) -> int:
    """Run one command line; returns its exit code. Errors are printed, as JSON where `--json` is given."""
    from cli import failing

    return failing.guard(lambda: app(arguments, prog_name="factory", standalone_mode=False), arguments)
