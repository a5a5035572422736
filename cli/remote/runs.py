"""Runs on a server: give work, see it, end it, decide."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from uuid import uuid4

from api.client import Client, ServerRefused
from cli import deciding, reading, results
from cli.remote.connecting import NotElsewhere, opened
from cli.remote.following import SCRIPTED, approval_of, summary, to_the_end
from cli.screen import Screen
from governance.approvals import Decision
from graph import answering
from graph.lifecycle import ENDED
from graph.summary import RunSummary
from graph.turns import IfActive

_PATIENCE = 10.0
"""Seconds that a run has to obey who cancelled it."""


async def run(
    server: str, requirement: str, *, project: str | None, repo: Path | None, pipeline: str,
    approve_all: bool, budget: str | None, if_active: IfActive | None, as_json: bool,
) -> int:  # fmt: skip
    """Submit a requirement and follow its run; returns the exit code."""
    screen = Screen(as_json)
    async with opened(server, screen) as client:
        if repo is not None:
            await _import(client, project, repo)
        made = await client.runs_submit(
            {
                "requirement": requirement,
                "project": project,
                "pipeline": pipeline,
                "approve_all": approve_all,
                "budget_usd": budget,
                "if_active": if_active,
            },
            idempotency_key=str(uuid4()),
        )
        screen.note(f"run {made['run_id']}", style="bold")
        return await to_the_end(client, made["run_id"], screen)


async def runs(server: str, limit: int, *, as_json: bool) -> int:
    """List the newest runs; returns 0."""
    screen = Screen(as_json)
    listed: list[RunSummary] = []
    async with opened(server, screen) as client:
        after: str | None = None
        while len(listed) < limit:
            page = await client.runs_list(limit=min(limit - len(listed), 100), after=after)
            listed += [RunSummary.model_validate(one) for one in page["items"]]
            after = page["next"]
            if after is None:
                break
    return reading.listed(listed, screen)


async def show(server: str, name: str, *, as_json: bool) -> int:
    """Print one run; returns 0 whatever its status is."""
    screen = Screen(as_json)
    async with opened(server, screen) as client:
        record = await client.runs_record(name)
        screen.announce([SCRIPTED] if record["model"] == "offline" else [])
        results.show(await summary(client, record["run_id"]), screen)
    return 0


async def watch(server: str, name: str, *, as_json: bool) -> int:
    """Follow a run to its end, or, where nobody sits here, until it waits; returns its exit code."""
    screen = Screen(as_json)
    async with opened(server, screen) as client:
        found = await client.runs_record(name)
        return await to_the_end(client, found["run_id"], screen, asks=False)


async def cancel(server: str, name: str, reason: str, *, as_json: bool) -> int:
    """Have a run end as cancelled; returns 0."""
    screen = Screen(as_json)
    async with opened(server, screen) as client:
        found = await client.runs_cancel(name, {"reason": reason}, idempotency_key=str(uuid4()))
        now = RunSummary.model_validate(found)
        for _ in range(int(_PATIENCE / 0.2)):
            if now.status in ENDED:
                break
            await asyncio.sleep(0.2)
            now = await summary(client, now.run_id)
        else:
            screen.note("Recorded. The process that drives the run has not answered yet.", style="yellow")
        results.show(now, screen)
    return 0


async def answer(server: str, approval: str, text: str, *, go_on: bool, as_json: bool) -> int:
    """Record an answer in words; returns the run's exit code."""
    return await _decided(server, approval, None, deciding.words(text), go_on=go_on, as_json=as_json)


async def decide(
    server: str, approval: str, decision: Decision, text: str | None, *, go_on: bool, as_json: bool
) -> int:
    """Record a yes or a no; returns the run's exit code."""
    return await _decided(server, approval, decision, text, go_on=go_on, as_json=as_json)


async def _decided(
    server: str, name: str, decision: Decision | None, text: str | None, *, go_on: bool, as_json: bool
) -> int:
    screen = Screen(as_json)
    async with opened(server, screen) as client:
        asked = await client.approvals_show(name)
        chosen = decision or answering.in_words(approval_of(asked))
        assert chosen != "expired"
        decided = await client.approvals_decide(
            asked["approval_id"], {"decision": chosen, "text": text}, idempotency_key=str(uuid4())
        )
        screen.note(f"✓ {decided['approval_id']}: {decided['decision']}", style="green")
        if go_on:
            return await to_the_end(client, decided["run_id"], screen)
        if as_json:
            results.show(await summary(client, decided["run_id"]), screen)
        else:
            screen.say(f"Recorded. The run goes on; follow it with: factory watch {decided['run_id']}")
    return 0


async def _import(client: Client, project: str | None, repo: Path) -> None:
    """Bring a repository's history to the server, as a new project."""
    if project is None:
        raise NotElsewhere(
            "--repo with --server needs --project",
            untouched="Nothing was sent",
            todo="Say what the new project is to be called: --project NAME",
        )
    with tempfile.TemporaryDirectory(prefix="factory-bundle-") as folder:
        bundle = Path(folder) / "source.bundle"
        git = await asyncio.create_subprocess_exec(
            *("git", "-C", str(repo), "bundle", "create", "-q", str(bundle), "HEAD"),
            stderr=asyncio.subprocess.PIPE,
        )
        _, said = await git.communicate()
        if git.returncode:
            raise NotElsewhere(
                f"{repo} cannot be packed: {said.decode('utf-8', 'replace').strip()[-300:]}",
                untouched="Nothing was sent",
                todo="Give the folder of a git repository that has at least one commit",
            )
        try:
            await client.projects_import(project, await asyncio.to_thread(bundle.read_bytes))
        except ServerRefused as refused:
            refused.todo = refused.todo or "Choose another name, or leave out --repo"
            raise
