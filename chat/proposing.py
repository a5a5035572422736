"""A proposal of a team's, accepted by a person: a change is started, or mail is sent. Once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from chat.heard import Talk
from chat.profiles.runs import started
from chat.wire import Step, proposal_card, proposal_of
from core.errors import BadInput, FactoryError, NotFound
from core.redaction import redact
from governance.access import Principal
from graph.lifecycle import ENDED
from workspace.mail.message import PERSON

ACTION: Final = "propose"
"""What a card calls its action."""
MOST_TEXT: Final = 20_000


class ProposalGone(NotFound):
    """There is no such proposal in this conversation."""


class NobodyToRead(BadInput):
    """No run of the project is under way, so that nobody reads mail now."""


async def accept(talk: Talk, person: Principal, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Do what is proposed, as the person has left it; the card then says so."""
    try:
        step = await _step(talk, str(payload.get("id", "")))
        proposal = step["metadata"]["proposal"]
        text = str(payload.get("text") or "").strip()[:MOST_TEXT] or str(proposal["text"])
        if proposal["done"] is None:
            what = await (_mail if proposal["kind"] == "mail" else _change)(talk, person, step, text)
            proposal.update(done={"what": what, "by": person.name}, text=redact(text))
            await talk.room.threads.keep(talk.thread_id, step)
            await talk.room.tell("element", proposal_card(step))
    except FactoryError as error:
        return {"ok": False, "what": redact(str(error))}
    return {"ok": True}


async def _step(talk: Talk, proposal_id: str) -> Step:
    for step in await talk.room.threads.messages(talk.thread_id):
        proposal = proposal_of(step)
        if proposal is not None and proposal["id"] == proposal_id:
            return step
    raise ProposalGone(untouched="Nothing was done")


async def _change(talk: Talk, person: Principal, step: Step, text: str) -> str:
    person.require("submit")
    project = str(step["metadata"]["proposal"]["project"])

    async def make(run_id: str) -> str:
        return await talk.desk.factory.change(project, text, widens=False, by=person.name, run_id=run_id)

    await started(talk, str(step["id"]), make)
    return "Started"


async def _mail(talk: Talk, person: Principal, step: Step, text: str) -> str:
    person.require("answer")
    proposal, services = step["metadata"]["proposal"], talk.desk.factory.services
    runs = await services.runs.of_project(str(proposal["project"]))
    live = next((run for run in reversed(runs) if run.status not in ENDED), None)
    if live is None:
        raise NobodyToRead(untouched="Nothing was sent", todo="Ask for a change instead, which starts a run")
    key = f"{PERSON}/{proposal['id']}"
    await (await services.mail(live.id)).post(
        "note",
        key,
        key,
        sender=f"{PERSON} ({person.name})",
        to=[str(proposal["to"])],
        subject=text,
        body=text,
        status="open",
    )
    return f"Sent in run {live.id}"
