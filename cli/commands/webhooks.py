"""`factory webhook`: who is told over HTTP of what happens."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.commands.options import AsJson, do, family

app = family("Webhooks: who is told over HTTP of what happens, by `factory serve`.")

HookId = Annotated[str, typer.Argument(metavar="ID", help="The webhook's id, from list.")]


@app.command("add")
def add(
    url: Annotated[str, typer.Argument(metavar="URL", help="Where to send; https, on a public host.")],
    event: Annotated[
        list[str],
        typer.Option(
            "--event",
            metavar="NAME",
            help="What to be told of; may repeat: run.ended, approval.wanted, budget, incident.",
        ),
    ],
    project: Annotated[
        str | None, typer.Option(metavar="NAME", help="Of this project only. [default: all]")
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Add a webhook, and print the secret that signs its messages this once."""
    from cli import webhooks

    return do(webhooks.add(url, event, project, as_json=as_json))


@app.command("list")
def list_(as_json: AsJson = False) -> int:
    """List the webhooks, without their secrets."""
    from cli import webhooks

    return do(webhooks.list_(as_json=as_json))


@app.command("remove")
def remove(webhook: HookId, as_json: AsJson = False) -> int:
    """Remove a webhook and its deliveries."""
    from cli import webhooks

    return do(webhooks.remove(webhook, as_json=as_json))


@app.command("enable")
def enable(webhook: HookId, as_json: AsJson = False) -> int:
    """Tell a webhook again that was disabled after long failure."""
    from cli import webhooks

    return do(webhooks.enable(webhook, as_json=as_json))


@app.command("deliveries")
def deliveries(
    webhook: Annotated[
        str | None, typer.Argument(metavar="ID", help="Only those to this webhook. [default: all]")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=1_000, metavar="N", help="How many, newest first.")] = 20,
    as_json: AsJson = False,
) -> int:
    """List what was sent, or is to be, and what became of it."""
    from cli import webhooks

    return do(webhooks.deliveries(webhook, limit, as_json=as_json))


@app.command("redeliver")
def redeliver(
    delivery: Annotated[str, typer.Argument(metavar="DELIVERY", help="Its id, from deliveries.")],
    as_json: AsJson = False,
) -> int:
    """Have a message sent again, under the same id, by a server that runs."""
    from cli import webhooks

    return do(webhooks.redeliver(delivery, as_json=as_json))
