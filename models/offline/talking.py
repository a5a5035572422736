"""Replies to people in the chat: made from the facts and sources in the message, and from nothing else.

Each says that it is scripted: there is no judgement in it.
"""

import json
import re

from models.offline.reading import Conversation, Section, unquote

_SCRIPTED = "*Scripted: the offline model repeats what is recorded; it does not think.*"
_COMMON = frozenset(
    re.findall(
        "[a-z]+",
        "about after also because been before does from have here into more must only other over should some "
        "than that their them then there these they this what when where which while will with would your",
    )
)


def talk(conversation: Conversation) -> str:
    """The reply for the mode that the message names."""
    mode = conversation.brief.matter.get("mode", "")
    return {"discuss": _discuss, "decide": _decide, "sources": _sources}.get(mode, _answer)(conversation)


def _answer(conversation: Conversation) -> str:
    message = unquote(conversation.brief.section("Message"))
    found = _best(_facts(conversation), message, 4)
    known = "\n".join(f"- {fact}" for fact in found)
    said = (
        f"What is recorded about that:\n\n{known}"
        if found
        else "Nothing that is recorded says anything about that."
    )
    parts = [f"I am {_spoken(conversation.team)}. {said}", _SCRIPTED]
    mail = re.search(r"\btell (?:the )?([a-z_ ]+?)(?: team)? that (.+)", message, re.IGNORECASE | re.DOTALL)
    if mail:
        team = "_".join(mail[1].lower().split())
        parts.append(f"```propose mail {team}\n{mail[2].strip()}\n```")
    elif re.match(r"(?:please )?(?:change|add|remove|rename)\b", message, re.IGNORECASE):
        parts.append(f"```propose change\n{message.strip()}\n```")
    return "\n\n".join(parts)


def _discuss(conversation: Conversation) -> str:
    question = unquote(conversation.brief.section("Question"))
    found = _best(_facts(conversation), question, 2)
    said = " ".join(found) if found else "Nothing is recorded that speaks for or against it."
    others = conversation.brief.children("Said so far")
    after = f" {_spoken(others[-1].title)} was heard." if others else ""
    return f"{said}{after}\n\n{_SCRIPTED}"


def _decide(conversation: Conversation) -> str:
    question = " ".join(unquote(conversation.brief.section("Question")).split())
    turns: list[Section] = conversation.brief.children("Discussion")
    said = [(_spoken(turn.title), unquote(turn.text).replace(_SCRIPTED, "")) for turn in turns]
    held = "\n".join(f"- {who}: {_first(text)}" for who, text in said)
    return (
        f"## Context\n\nA person asked: {question}\n\n"
        "## Decision\n\nNothing is changed: the script weighs nothing, so what is recorded stands.\n\n"
        f"## Alternatives\n\n{held or '- none was named'}\n\n"
        f"## Consequences\n\nA person, or a real model, has to decide. {_SCRIPTED}"
    )


def _sources(conversation: Conversation) -> str:
    question = unquote(conversation.brief.section("Question"))
    found: list[tuple[int, str]] = []
    for section in conversation.brief.children("Sources"):
        number = re.match(r"Source (\d+)$", section.title)
        lines = [line.strip(" #*->|`") for line in section.text.splitlines()]
        for line in _best([line for line in lines if line], question, 1):
            found.append((int(number[1]) if number else 0, line))
    best = _best([line for _, line in found], question, 4)
    told = [f"{_first(line)} [{next(number for number, one in found if one == line)}]" for line in best]
    return json.dumps({"known": bool(told), "sentences": told}, ensure_ascii=False, indent=2)


def _facts(conversation: Conversation) -> list[str]:
    return [
        line[2:]
        for line in conversation.brief.section("Facts of the project").splitlines()
        if line.startswith("- ")
    ]


def _best(lines: list[str], question: str, most: int) -> list[str]:
    """Those with the most of the question's words, at least half of them and never none, the best first."""
    asked = _words(question)
    need = max(1, (len(asked) + 1) // 2)
    rated = [(len(asked & _words(line)), -at, line) for at, line in enumerate(dict.fromkeys(lines))]
    good = sorted((one for one in rated if one[0] >= need), reverse=True)
    return [line for _, _, line in good[:most]]


def _words(text: str) -> set[str]:
    return {word.rstrip("s") for word in re.findall(r"[a-z]{4,}", text.lower())} - _COMMON


def _first(text: str) -> str:
    """Its first sentence, on one line."""
    line = " ".join(text.split())
    return re.split(r"(?<=[.!?]) ", line, maxsplit=1)[0][:300]


def _spoken(team: str) -> str:
    return team.replace("_", " ")
