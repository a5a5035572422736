"""The model behind the small pack: a function from a chat to a reply, with a rule per team and kind of call.

It has no memory: which turn it is, it reads from the messages. So a run that was killed gets the same replies
as one that was not.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Chat:
    """What a reply can depend on."""

    call: str
    team: str
    operative: str
    turn: int
    """Replies that this conversation holds already."""
    last: str
    """The newest message."""
    text: str
    """All messages."""
    round: int


Rule = Callable[[Chat], str]


def read(messages: list[dict[str, Any]]) -> Chat:
    """The chat in a request's messages."""
    texts = [str(message["content"]) for message in messages if message["role"] == "user"]
    first, last = _front(texts[0]), _front(texts[-1])
    heard = [str(message["content"]) for message in messages if message["role"] != "assistant"]
    return Chat(
        call=last.get("call") or first.get("call", "work"),
        team=first.get("team", ""),
        operative=first.get("operative", ""),
        turn=sum(message["role"] == "assistant" for message in messages),
        last=heard[-1],
        text="\n".join(str(message["content"]) for message in messages),
        round=int((first.get("objective") or "/1").rsplit("/", 1)[1]),
    )


def _front(text: str) -> dict[str, str]:
    found = re.match(r"---\n(.*?)\n---\n", text, re.DOTALL)
    lines = found.group(1).splitlines() if found else []
    return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}


def write(path: str, text: str) -> str:
    """A reply that writes a file."""
    return f"I write it.\n\n```write {path}\n{text}\n```\n"


def read_file(path: str) -> str:
    """A reply that reads a file."""
    return f"I read it.\n\n```call read_file\n{json.dumps({'path': path})}\n```\n"


def ask(target: str, question: str) -> str:
    """A reply that asks another team, or a person."""
    arguments = json.dumps({"target_team": target, "question": question})
    return f"I need to know.\n\n```call request_clarification\n{arguments}\n```\n"


def result(status: str = "COMPLETE", **changes: Any) -> str:
    """A report."""
    fields: dict[str, Any] = {
        "reasoning": "The pages are written.",
        "deliverables": [],
        "verified_facts": ["The pages are there."],
        "assumptions_made": [],
        "blockers": [],
        "clarification_target": "",
        "clarification_question": "",
        "confidence": 90,
        "status": status,
    }
    return json.dumps(fields | changes)


def scout(chat: Chat) -> str:
    """Asks the makers one question, then writes what they said."""
    if "answer of maker" not in chat.text and "refused:" not in chat.text:
        return ask("maker", "Which colour?")
    page = f"# Scout\n\nRound {chat.round}: blue."
    if chat.round == 1:
        return write("docs/scout.md", page) if chat.turn == 1 else "Done."
    # The page of the round before is replaced by who has read it.
    return {1: read_file("docs/scout.md"), 2: write("docs/scout.md", page)}.get(chat.turn, "Done.")


def maker(chat: Chat) -> str:
    """Forgets a page, is told by the gate, and asks a person before writing it."""
    if chat.turn == 0:
        return write("docs/maker.md", "# Maker\n\nMade.")
    if "missing or empty" not in chat.text or "wrote docs/extra.md" in chat.text:
        return "Done."
    said = re.findall(r"answer of person \(.*?\): (.*)", chat.text)
    if not said:
        return ask("person", "Extra or not? Otherwise I assume extra.")
    return write("docs/extra.md", f"# Extra\n\nA person says: {said[-1].strip()}")


def painter(chat: Chat) -> str:
    """Is blocked until a person gives guidance."""
    return write("docs/painter.md", "# Painter\n\nPainted.") if chat.turn == 0 else "Done."


def painter_report(chat: Chat) -> str:
    """Blocked, until a person has said something."""
    if "says:" in chat.text:
        return result()
    return result("BLOCKED", blockers=["no paint"], confidence=20)


def closer(chat: Chat) -> str:
    """Writes too little and is sent back by the reviewer."""
    if chat.turn == 0:
        return write("docs/closer.md", "# Closer")
    if "Say goodbye" in chat.text and "(3 lines)" not in chat.text:
        return write("docs/closer.md", "# Closer\n\nGoodbye.")
    return "Done."


def closer_review(chat: Chat) -> str:
    """Wants a goodbye."""
    fine = "Goodbye" in chat.text
    return json.dumps(
        {"findings": [] if fine else ["Say goodbye"], "verdict": "approve" if fine else "revise"}
    )


RULES: Mapping[str, Rule] = {
    "scout/work": scout,
    "maker/work": maker,
    "painter/work": painter,
    "painter/report": painter_report,
    "closer/work": closer,
    "closer/review": closer_review,
}


def remembered(chat: Chat) -> str:
    """Every sentence of the pages that it is shown, and one that it made up."""
    shown = chat.text.partition("## New Messages")[2].partition("## Observation Date")[0]
    lines = [line.removeprefix("assistant: ").strip(" -") for line in shown.splitlines()]
    sentences = list(dict.fromkeys(line for line in lines if line.endswith(".")))
    said = [*sentences, "The moon is made of cheese."]
    listed = [{"id": str(n), "text": text, "attributed_to": "assistant"} for n, text in enumerate(said)]
    return json.dumps({"memory": listed})


def defaults(chat: Chat) -> str:
    """What a team does for which a test has no rule: write its page, report, approve, answer."""
    if chat.call == "plan":
        return json.dumps({"reasoning": "small", "title": "Small", "skip": ["idler: nothing to idle about"]})
    if chat.call == "review":
        return json.dumps({"findings": [], "verdict": "approve"})
    if chat.call == "clarify":
        answer = {"reasoning": "", "answer": "Blue.", "needs_target": "", "needs_question": "", "known": True}
        return json.dumps(answer)
    if chat.call == "report":
        return result()
    if chat.call == "remember":
        return remembered(chat)
    return write(f"docs/{chat.team}.md", f"# {chat.team}") if chat.turn == 0 else "Done."


def brain(rules: Mapping[str, Rule] = RULES) -> Callable[..., str]:
    """A brain for `OllamaServer`: the rule of `team/call`, else what everybody does."""

    def reply(messages: list[dict[str, Any]], *_: Any) -> str:
        chat = read(messages)
        return rules.get(f"{chat.team}/{chat.call}", defaults)(chat)

    return reply
