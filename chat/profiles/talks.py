"""The profiles *Team*, *Group* and *Project Q&A*: talk that changes nothing by itself."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from chat import queries
from chat.asking import LIBRARIAN_ALIAS, Turn, ask
from chat.heard import Said, Talk
from chat.knowledge import Knowledge, Source
from chat.selecting import choose, members
from chat.timeline import step_id
from chat.wire import FACTORY, escaped
from core.errors import BadInput
from teams import talking
from teams.extraction import ResultInvalid
from teams.talking import Proposal
from teams.team import Team

TEAM, GROUP, QUESTIONS = "Team", "Group", "Project Q&A"
TALKS: Final = (TEAM, GROUP, QUESTIONS)
"""The profiles, as the page names them."""
NO_PROJECT: Final = "none"
MOST_TURNS: Final = 12
"""Earlier turns that a team is told."""
UNKNOWN: Final = "I do not know: nothing that is recorded of this project answers that."


class TeamUnknown(BadInput):
    """There is no such team."""


class ProjectMissing(BadInput):
    """Questions are about a project."""


@dataclass(frozen=True)
class Talks:
    """Answers messages of these profiles."""

    async def team(self, talk: Talk, said: Said) -> None:
        """One team answers, from its memory and its files."""
        said.person.require("answer")
        team = _team(talk, said)
        project = await _project(talk, said)
        facts = await _facts(talk, project, said.text, (team.id,))
        turns = await _earlier(talk, said)
        messages = talking.talk(team, topic=talk.thread_id, facts=facts, turns=turns, message=said.text)
        streamed = talk.streamed(to=said.id, author=team.name)
        turn = _turn(talk, said, team, "talk", project)
        reply = await ask(talk.desk.factory, turn, messages, show=streamed.piece)
        text, proposed = talking.proposals(reply.text, talk.desk.factory.registry.ids)
        await streamed.end(text, meta={"team": team.id, "project": project})
        for number, proposal in enumerate(proposed):
            await talk.propose(_card(proposal, team, project, number, said.id), to=said.id, number=number)

    async def group(self, talk: Talk, said: Said) -> None:
        """Several teams discuss, and one writes the decision down."""
        said.person.require("answer")
        factory = talk.desk.factory
        teams = {team: factory.registry.team(team) for team in factory.registry.ids}
        project = await _project(talk, said)
        group = members(said.text, teams)
        names = ", ".join(teams[name].name for name in group)
        await talk.reply(f"In this group: {escaped(names)}.", to=said.id, part="group")
        turns: list[talking.Turn] = []
        tokens = 0
        while (choice := choose(group, turns, tokens)).team is not None:
            team = teams[choice.team]
            facts = await _facts(talk, project, said.text, (team.id,))
            messages = talking.discuss(
                team, topic=talk.thread_id, facts=facts, turns=turns, question=said.text
            )
            part = f"turn{len(turns) + 1}"
            streamed = talk.streamed(to=said.id, author=team.name, part=part)
            await streamed.piece(f"**{escaped(team.name)}**\n\n")
            turn = _turn(talk, said, team, part, project)
            reply = await ask(factory, turn, messages, show=streamed.piece)
            await streamed.end(
                f"**{escaped(team.name)}**\n\n{reply.text.strip()}",
                meta={"team": team.id, "project": project},
            )
            turns.append(talking.Turn(team.id, reply.text.strip()))
            tokens += reply.input_tokens + reply.output_tokens
        await self._conclude(talk, said, teams[group[0]], turns, f"{choice.why}; {tokens:,} tokens", project)

    async def _conclude(
        self, talk: Talk, said: Said, team: Team, turns: list[talking.Turn], why: str, project: str | None
    ) -> None:
        messages = talking.decide(team, topic=talk.thread_id, turns=turns, question=said.text)
        turn = _turn(talk, said, team, "decision", project)
        reply = await ask(talk.desk.factory, turn, messages)
        ended = f"*The discussion ended: {escaped(why)}. Written by {team.name}.*"
        text = f"### Decision\n\n{ended}\n\n{reply.text.strip()}"
        await talk.reply(text, to=said.id, part="decision", meta={"project": project})
        if project is not None:
            wanted = f"Record this decision as an ADR in docs/adr/:\n\n{reply.text.strip()}"
            proposal = Proposal("change", "", wanted)
            card = _card(proposal, team, project, 0, said.id, adr=True)
            await talk.propose(card, to=said.id, number=0)

    async def recover(self, talk: Talk, since: datetime) -> None:
        """Say so where the server ended in the middle of an answer: what was shown of it was not kept."""
        row = await talk.room.threads.row(talk.thread_id)
        if row is None or row["metadata"].get("chat_profile") not in TALKS:
            return
        async with talk.desk.factory.db.pool.connection() as conn:
            said = await queries.messages(conn, talk.thread_id)
        kept = {str(message["id"]) for message in said}
        for message in said:
            name = str(message["id"])
            ends = {f"{name}/reply", f"{name}/reply/decision"}
            if message["step"]["type"] == "user_message" and message["at"] < since and not ends & kept:
                await talk.reply(
                    "⚠ The server was stopped before it had answered this. Nothing was changed; ask again.",
                    to=name,
                )

    async def question(self, talk: Talk, said: Said) -> None:
        """An answer from what is recorded, each sentence with its source, or that it is not known."""
        said.person.require("read")
        project = await _project(talk, said)
        if project is None:
            raise ProjectMissing(todo="Choose one beside the message, or start a run first")
        knowledge = Knowledge(talk.desk.factory)
        sources = dict(enumerate(await knowledge.about(project, said.text), start=1))
        told = await self._from_sources(talk, said, project, sources) if sources else []
        if not told:
            looked = f"{len(sources)} places were looked at" if sources else "nothing has its words"
            await talk.reply(f"{UNKNOWN}\n\n*({looked} in `{escaped(project)}`)*", to=said.id)
            return
        used = sorted({number for _, numbers in told for number in numbers})
        lines = [f"{escaped(text)} {''.join(f'[{number}]' for number in numbers)}" for text, numbers in told]
        listed = "\n".join(f"{_source(number, sources[number])}" for number in used)
        text = "\n\n".join([*lines, "**Sources**", listed])
        await talk.reply(text, to=said.id, meta={"project": project})

    async def _from_sources(
        self, talk: Talk, said: Said, project: str, sources: dict[int, Source]
    ) -> list[tuple[str, tuple[int, ...]]]:
        texts = {number: f"{source.where}\n{source.text}" for number, source in sources.items()}
        messages = talking.from_sources(topic=talk.thread_id, sources=texts, question=said.text)
        by = said.person.name
        turn = Turn(talk.thread_id, said.id, "sources", "factory", "librarian", LIBRARIAN_ALIAS, project, by)
        for attempt in ("", "/again"):
            turn = replace(turn, part=f"sources{attempt}")
            reply = await ask(talk.desk.factory, turn, messages, schema=talking.sources_schema())
            try:
                return talking.sourced(reply.text, list(sources))
            except ResultInvalid:
                continue
        return []


def _team(talk: Talk, said: Said) -> Team:
    registry = talk.desk.factory.registry
    wanted = said.modes.get("team") or registry.ids[0]
    if wanted not in registry.ids:
        raise TeamUnknown(f"There is no team {wanted[:60]!r}", todo=f"Teams: {', '.join(registry.ids)}")
    return registry.team(wanted)


async def _project(talk: Talk, said: Said) -> str | None:
    known = await Knowledge(talk.desk.factory).projects()
    wanted = said.modes.get("project", "")
    if wanted == NO_PROJECT or not known:
        return None
    return wanted if wanted in known else known[0]


async def _facts(talk: Talk, project: str | None, question: str, teams: tuple[str, ...]) -> list[str]:
    if project is None:
        return []
    found = await Knowledge(talk.desk.factory).about(project, question, teams=teams)
    return [f"{' '.join(source.text.split())[:600]} ({source.where})" for source in found]


async def _earlier(talk: Talk, said: Said) -> list[talking.Turn]:
    """What was said before in this conversation, the last turns of it."""
    turns: list[talking.Turn] = []
    for step in await talk.room.threads.messages(talk.thread_id):
        if step["id"] == said.id or "message" not in str(step["type"]) or not step.get("output"):
            continue
        metadata: dict[str, Any] = step.get("metadata") or {}
        who = said.person.name if step["type"] == "user_message" else str(metadata.get("team") or FACTORY)
        turns.append(talking.Turn(who, str(step["output"])[:4_000]))
    return turns[-MOST_TURNS:]


def _turn(talk: Talk, said: Said, team: Team, part: str, project: str | None) -> Turn:
    return Turn(
        talk.thread_id, said.id, part, team.id, team.author.id, team.author.alias, project, said.person.name
    )


def _source(number: int, source: Source) -> str:
    where = f"[{escaped(source.where)}]({source.link})" if source.link else f"`{source.where}`"
    return f"- [{number}] {where}: {escaped(' '.join(source.text.split())[:160])}"


def _card(
    proposal: Proposal, team: Team, project: str | None, number: int, message_id: str, *, adr: bool = False
) -> dict[str, Any]:
    """What the card of a proposal shows."""
    return {
        "id": step_id(message_id, f"proposal/{number}"),
        "kind": "adr" if adr else proposal.kind,
        "to": proposal.team,
        "by": team.name,
        "project": project or "",
        "text": proposal.text,
        "done": None,
    }
