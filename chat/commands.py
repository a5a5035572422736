"""Commands of a conversation about a run: how far it is, what it cost, why a stage is as it is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from chat import queries
from chat.heard import Said, Talk
from chat.profiles.runs import started
from chat.wire import escaped
from core.errors import BadInput
from core.events import Event
from core.plain import cost, one_line, seconds, tokens
from graph import control
from graph.narration import tell
from graph.summary import RunSummary
from models.spending.costs import Dimension, costs

_WHY: Final = (
    "stage.skipped",
    "gate.decided",
    "check.ran",
    "clarification.asked",
    "clarification.escalated",
    "approval.requested",
    "approval.decided",
    "model.failed",
    "report.invalid",
    "stage.ended",
)
MOST_REASONS: Final = 12


class NoRunHere(BadInput):
    """There is no run in this conversation."""


class CommandUnknown(BadInput):
    """There is no such command."""


class TeamUnknown(BadInput):
    """The run has no such stage."""


async def _run(talk: Talk, said: Said) -> str:
    """The run that a command means: the named one, else the conversation's newest."""
    if said.text:
        return await talk.desk.factory.find(said.text.split()[0])
    return await newest(talk)


async def newest(talk: Talk) -> str:
    """The conversation's newest run; raises NoRunHere."""
    runs = await talk.room.threads.runs(talk.thread_id)
    if not runs:
        raise NoRunHere(todo="Say what you want, and there will be one")
    return runs[-1]


async def status(talk: Talk, said: Said) -> None:
    """How far the run is."""
    said.person.require("read")
    summary = await talk.desk.factory.summary(await _run(talk, said))
    await talk.reply(_status(summary), to=said.id)


def _status(run: RunSummary) -> str:
    lines = [
        f"**{escaped(run.status.replace('_', ' '))}** · run `{run.run_id}` · project `{escaped(run.project)}`"
    ]
    spent = [seconds(run.seconds), f"{tokens(run.tokens)} tokens" if run.tokens else "", cost(run.cost_usd)]
    lines.append(" · ".join(part for part in spent if part))
    if run.stages:
        rows = [
            f"| {escaped(stage.team.replace('_', ' '))} | {stage.verdict or 'open'} | {stage.attempts or ''} "
            f"| {seconds(stage.seconds) if stage.seconds else ''} | {tokens(stage.tokens)} |"
            for stage in run.stages
        ]
        lines.append(
            "| team | verdict | attempts | time | tokens |\n|---|---|---|---|---|\n" + "\n".join(rows)
        )
    for waiting in run.waiting_for:
        lines.append(f"Waits for you ({waiting.kind}): {escaped(one_line(waiting.question, 200))}")
    if run.failure:
        lines.append(f"⚠ {escaped(one_line(run.failure, 500))}")
    return "\n\n".join(lines)


async def spent(talk: Talk, said: Said) -> None:
    """Tokens and money of the run, by team and by model."""
    said.person.require("read")
    run_id = await _run(talk, said)
    parts = [await _costs(talk, run_id, "team"), await _costs(talk, run_id, "model")]
    await talk.reply("\n\n".join(parts), to=said.id)


async def _costs(talk: Talk, run_id: str, by: Dimension) -> str:
    found = await costs(talk.desk.factory.db, by, run_id=run_id)
    if not found.rows:
        return f"By {by}: nothing was spent yet."
    rows = "\n".join(
        f"| {escaped(row.name)} | {row.calls} | {tokens(row.input_tokens + row.output_tokens)} "
        f"| {cost(row.cost_usd)} |"
        for row in (*found.rows, found.total)
    )
    return f"| {by} | calls | tokens | cost |\n|---|--:|--:|--:|\n{rows}"


async def why(talk: Talk, said: Said) -> None:
    """Why a stage, or the run, is as it is: from its log, each line with its place there."""
    said.person.require("read")
    run_id = await newest(talk)
    progress = await talk.desk.factory.progress(run_id)
    asked = said.text.strip().lower().replace(" ", "_")
    if asked:
        found = [row for row in progress.rows if asked in (row.team, row.name.lower().replace(" ", "_"))]
        if not found:
            names = ", ".join(row.team for row in progress.rows) or "none yet"
            raise TeamUnknown(f"The run has no stage {said.text[:60]!r}", todo=f"Its stages: {names}")
        team: str | None = found[0].team
    else:
        team = next((row.team for row in progress.rows if row.state in ("asking", "failed")), None)
    events = await talk.desk.factory.events.read(run_id, kinds=_WHY)
    mine = [event for event in events if team is None or event.team == team][-MOST_REASONS:]
    told = "\n".join(f"- {escaped(_reason(event))} *(event {event.seq})*" for event in mine)
    about = f"**{escaped(team.replace('_', ' '))}**" if team else "**The run**"
    state = escaped(progress.status.replace("_", " "))
    await talk.reply(
        f"{about}, while the run is {state}:\n\n{told or 'Nothing is recorded yet.'}", to=said.id
    )


def _reason(event: Event) -> str:
    return one_line(f"{event.at:%H:%M:%S} {tell(event)}", 400)


async def change(talk: Talk, said: Said) -> None:
    """Change what the conversation's finished run made."""
    said.person.require("submit")
    target = await newest(talk)

    async def make(run_id: str) -> str:
        return await talk.desk.factory.change(
            target, said.text, widens=False, by=said.person.name, run_id=run_id
        )

    await started(talk, said.id, make)


async def follow(talk: Talk, said: Said) -> None:
    """Show a run here that was started elsewhere."""
    said.person.require("read")
    if not said.text:
        raise NoRunHere("/follow needs a run's id", todo="Give the id, its unique beginning, or `last`")
    run_id = await _run(talk, said)
    async with talk.desk.factory.db.pool.connection() as conn:
        await queries.ask_for_run(conn, talk.thread_id, said.id, run_id)
    await talk.room.show(run_id)


async def pause(talk: Talk, said: Said) -> None:
    """Have the run stand still until it is resumed."""
    said.person.require("control")
    run_id = await newest(talk)
    await control.pause(talk.desk.factory.services, run_id, by=said.person.name, reason=said.text)
    await talk.reply(f"The run `{run_id}` is to stand still. `/resume` lets it go on.", to=said.id)


async def cancel(talk: Talk, said: Said) -> None:
    """End the run."""
    said.person.require("control")
    run_id = await newest(talk)
    await control.cancel(talk.desk.factory.services, run_id, by=said.person.name, reason=said.text)
    await talk.reply(f"The run `{run_id}` is to end. What it merged stays on its branch.", to=said.id)


async def resume(talk: Talk, said: Said) -> None:
    """Let the run go on."""
    said.person.require("submit")
    run_id = await newest(talk)
    await control.resume(talk.desk.factory.services, run_id, by=said.person.name)
    await talk.desk.dispatch.go_on(run_id)
    await talk.reply(f"The run `{run_id}` goes on.", to=said.id)


Command = Callable[[Talk, Said], Awaitable[None]]

COMMANDS: Final[dict[str, tuple[Command, str, str]]] = {
    "status": (status, "how far the run is, and what waits for you", "activity"),
    "pause": (pause, "hold the run where it is", "pause"),
    "resume": (resume, "let the run go on", "play"),
    "cancel": (cancel, "end the run", "square"),
    "costs": (spent, "tokens and money, by team and model", "coins"),
    "change": (change, "change what the finished run made", "pencil"),
    "why": (why, "why a stage is as it is: /why team", "circle-help"),
    "follow": (follow, "show another run here: /follow run", "eye"),
}
"""By name: what it does, its line in the list, its icon."""


async def obey(talk: Talk, said: Said) -> None:
    """Do what a command says; raises CommandUnknown."""
    if said.command not in COMMANDS:
        known = ", ".join(f"/{name}" for name in COMMANDS)
        raise CommandUnknown(f"There is no command /{said.command[:40]}", todo=f"Known: {known}")
    await COMMANDS[said.command][0](talk, said)
