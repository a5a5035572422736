"""What a model reads in a stage's work, through mem0: it extracts, and all else is ours.

mem0 2.2.1 is given a model of ours, a store that keeps nothing, and a history in memory. Its telemetry is
off before it is imported, it leaves no file, and it is imported where it is first needed, in a thread: that
takes more than a second. An unreadable reply of a model it takes for "nothing to keep"; so replies are read
here first, and what cannot be read is a failure. Its system prompt (33,653 characters about the lives of
users, 8,000 tokens a call) is left out: our rules are its custom prompt.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import tempfile
import threading
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Final

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage

from core.errors import FactoryError
from core.json import JsonObject, is_array, is_object
from memory.words import clean

MOST: Final = 40
"""Memories of one reply; what is beyond is left out."""
LONGEST: Final = 2_000
"""Characters of one."""
RAW_KEPT: Final = 4_000
"""Characters of an unusable reply that the error carries."""

SCHEMA: Final[JsonObject] = {
    "type": "object",
    "properties": {
        "memory": {
            "type": "array",
            "maxItems": MOST,
            "items": {
                "type": "object",
                "properties": {
                    "id": {"type": "string"},
                    "text": {"type": "string"},
                    "attributed_to": {"type": "string", "enum": ["user", "assistant"]},
                },
                "required": ["id", "text", "attributed_to"],
            },
        }
    },
    "required": ["memory"],
}

_ROLE: Final = "You extract memories for a software project. You reply with one JSON object and nothing else."
_FENCED: Final = re.compile(r"^```(?:json)?[ \t]*\n(.*?)^[ \t]*```", re.DOTALL | re.MULTILINE)
_loading: Final = threading.Lock()

Ask = Callable[[Sequence[BaseMessage]], Awaitable[str]]
"""Sends a conversation to a model and gives its reply's text; raises a FactoryError where there is none."""


class ExtractionFailed(FactoryError):
    """No memories could be read from what the model said."""

    http_status = 502

    def __init__(self, what: str, raw: str = "") -> None:
        super().__init__(what, untouched="What the rules found is kept")
        self.raw = raw[:RAW_KEPT]
        """The reply that could not be used."""


@cache
def rules() -> str:
    """Our extraction rules: mem0's custom prompt."""
    return resources.files("memory.extraction").joinpath("prompts", "rules.md").read_text(encoding="utf-8")


def memories_in(reply: str) -> list[str]:
    """The memories in a model's reply; an empty list where it says that there are none.

    Raises ExtractionFailed for what is no such reply: never takes the one for the other.
    """
    text = _unthought(reply).strip()
    if fenced := _FENCED.search(text):
        text = fenced[1].strip()
    listed = _listed(text, reply)
    texts = [_text(item, reply) for item in listed]
    return [" ".join(clean(said).split())[:LONGEST] for said in texts if said.strip()][:MOST]


def _listed(text: str, reply: str) -> Sequence[object]:
    """The list of memories in a text: that of an object, or the text itself."""
    starts = [place for place in (text.find("{"), text.find("[")) if place >= 0]
    wrong = "The model's reply holds no JSON"
    for start in sorted(starts) if text.startswith("[") else starts:
        try:
            parsed, end = json.JSONDecoder(strict=False).raw_decode(text, start)
        except (ValueError, RecursionError) as error:
            wrong = f"The model's reply is no whole JSON: {error}"
            continue
        listed: Any = parsed.get("memory") if is_object(parsed) else parsed
        if is_array(listed) and _meant(parsed, listed, text[:start], text[end:]):
            return listed
        wrong = 'The model\'s reply has no list "memory"'
    raise ExtractionFailed(wrong[:300], reply)


def _meant(parsed: object, listed: Sequence[object], before: str, after: str) -> bool:
    """Whether a list is the answer: prose has others, such as `- [ ] to do` and `methods=["GET"]`."""
    if is_object(parsed):
        return bool(listed) or '"memory"' not in after
    alone = not before.strip() and not after.strip()
    return alone or (bool(listed) and all(map(is_object, listed)))


def _unthought(reply: str) -> str:
    """The reply without what the model thought aloud before it."""
    plain = reply.lstrip()
    return plain.partition("</think>")[2] or plain if plain.startswith("<think>") else plain


def _text(item: object, reply: str) -> str:
    said: Any = item.get("text") if is_object(item) else item
    if not isinstance(said, str):
        raise ExtractionFailed("A memory in the model's reply is no text", reply)
    return said


async def extract(text: str, ask: Ask, *, matter: str, session: str) -> list[str]:
    """The memories that a model finds in `text`, as mem0 hands them on; empty where it finds none.

    `matter`: the front matter of the message, which says what call it is. Raises ExtractionFailed, and what
    `ask` raises.
    """
    engine = await asyncio.to_thread(_engine)
    conversation = _Conversation(ask, matter, asyncio.get_running_loop())
    try:
        return await asyncio.to_thread(engine, text, conversation, session)
    finally:
        conversation.give_up()


@dataclass
class _Conversation:
    """Brings mem0's thread to the loop in which models are asked."""

    ask: Ask
    matter: str
    loop: asyncio.AbstractEventLoop
    under_way: Future[list[str]] | None = None
    over: bool = False
    failure: BaseException | None = None
    """Why there is no reply: mem0 wraps what it is told into an error of its own."""
    said: tuple[str, ...] = ()
    """What the model said, as mem0 was given it."""

    def reply(self, prompt: str) -> str:
        """mem0's question, answered in the form that it understands. Called in mem0's thread."""
        if self.over:
            raise ExtractionFailed("The extraction was given up")
        self.under_way = asyncio.run_coroutine_threadsafe(self._asked(prompt), self.loop)
        try:
            texts = self.under_way.result()
        except BaseException as failure:
            self.failure = failure
            raise
        self.said = tuple(texts)
        listed = [
            {"id": str(number), "text": said, "attributed_to": "assistant"}
            for number, said in enumerate(texts)
        ]
        # mem0 cuts out what stands between <think> and </think>, be it from one memory to the next.
        return json.dumps({"memory": listed}, ensure_ascii=False).replace("<", "\\u003c")

    async def _asked(self, prompt: str) -> list[str]:
        turns: list[BaseMessage] = [SystemMessage(_ROLE), HumanMessage(f"{self.matter}{prompt}\n")]
        reply = await self.ask(turns)
        try:
            return memories_in(reply)
        except ExtractionFailed as failed:
            wrong = f"{self.matter}# Errors\n> {failed.what}\n\nReply with the JSON object alone.\n"
        return memories_in(await self.ask([*turns, AIMessage(reply), HumanMessage(wrong)]))

    def give_up(self) -> None:
        """Let the thread end that waits for a reply nobody wants any more."""
        self.over = True
        if self.under_way is not None:
            self.under_way.cancel()


Engine = Callable[[str, _Conversation, str], list[str]]


@cache
def _engine() -> Engine:
    """mem0, imported."""
    with _loading:
        return _imported()


def preload() -> None:
    """Import mem0 now, for a program that forks later."""
    _engine()


def _imported() -> Engine:
    with tempfile.TemporaryDirectory() as folder:
        # It makes its folder and writes an id into it as it is imported; what it keeps is kept nowhere.
        before = os.environ.get("MEM0_DIR")
        os.environ["MEM0_DIR"] = folder
        try:
            from memory.extraction import engine  # noqa: PLC0415
        finally:
            if before is None:
                del os.environ["MEM0_DIR"]
            else:
                os.environ["MEM0_DIR"] = before
    logging.getLogger("mem0").setLevel(logging.CRITICAL + 1)  # what went wrong is told by us, once
    return lambda text, conversation, session: _run(engine.run, text, conversation, session)


def _run(run: Any, text: str, conversation: _Conversation, session: str) -> list[str]:
    try:
        kept: list[str] = run(text, conversation.reply, rules(), session)
    except Exception as error:
        if conversation.failure is not None and conversation.failure is not error:
            raise conversation.failure from None
        if isinstance(error, FactoryError):
            raise
        raise ExtractionFailed(f"mem0 failed: {type(error).__name__}: {error}"[:300]) from error
    if lost := set(conversation.said) - set(kept):
        raise ExtractionFailed(f"mem0 lost {len(lost)} of {len(conversation.said)} memories without a word")
    return kept
