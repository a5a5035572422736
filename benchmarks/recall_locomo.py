"""How much of what a question needs is recalled: LoCoMo, ten long conversations with marked evidence.

Each conversation is a bank, each turn a memory (its text with the caption of its picture, as the data has
them), through the real `Bank.add` and `Bank.recall` in a real Postgres. Reported is recall@10 of the evidence
turns, the mean over the questions of categories 1 to 4: over all, and over conversations 6 to 10, which were
not looked at when the weights were chosen (`python -m benchmarks.recall_locomo choose` chooses them again).

The data is not part of this repository (CC BY-NC 4.0): FACTORY_LOCOMO, or --data, names its file, and without
either ../shared/data/locomo10.json is looked for. Where there is none, that is said, and nothing measured.

mem0 and MiniLM are measured where they are installed: in an environment outside of the project, of which
FACTORY_BENCH_PYTHON names the interpreter (benchmarks/outside.py says what is to be in it). Of each embedder
mem0 gets the same vectors as we do.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import mean
from typing import Any

from psycopg import sql

from benchmarks import outside
from benchmarks.measure import Measurement
from core.database import Database
from core.settings import Settings
from memory import adding, recall, scoring
from memory.bank import Bank
from memory.embedding import state
from memory.records import Draft, Kind, Source
from memory.records import place as located
from memory.service import Memories
from memory.weights import Weights
from models.embeddings.base import Embedder
from models.embeddings.local import LocalEmbedder

GOAL = 0.66
"""Over all questions, without any model."""
MINILM_GOAL = 0.71
"""The same, with vectors by MiniLM."""
_DEFAULT = Path(__file__).parents[1] / ".." / "shared" / "data" / "locomo10.json"
_TOP = 10
_CHOSEN_ON = 5
"""The weights were chosen on the first so many conversations."""
_WORDS = "BM25"
_MINILM = "MiniLM, "
_WHOLE = "fused, neighbours, dates, speaker"
_FULL_TEXT = """
SELECT m.number
FROM factory.{memories} m,
    (SELECT replace(plainto_tsquery('english', %(query)s)::text, '&', '|')::tsquery) a(q),
    to_tsvector('english', m.speaker || ': ' || m.text) v
WHERE v @@ q ORDER BY ts_rank_cd(v, q) DESC, m.number LIMIT 10
"""


@dataclass(frozen=True, slots=True)
class Question:
    """A question, and the numbers of the memories that answer it."""

    text: str
    evidence: frozenset[int]


@dataclass(frozen=True, slots=True)
class Conversation:
    """Turns in their order, and what is asked about them."""

    turns: tuple[Draft, ...]
    questions: tuple[Question, ...]


@dataclass(frozen=True, slots=True)
class Gathered:
    """What the database put forward for a question, to be scored by any weights."""

    conversation: int
    question: Question
    candidates: list[scoring.Candidate]
    median: float

    def top(self, weights: Weights) -> list[int]:
        """The ten best by these weights."""
        ranked = scoring.score(self.question.text, self.candidates, self.median, weights)
        return [one.number for one in ranked[:_TOP]]


def measure(data: Path | None = None) -> Iterator[Measurement]:
    """Yield the measurements; a goal is the least recall, so that what is compared is what was missed."""
    conversations = _load(data)
    if not conversations:
        return
    for name, recalls in asyncio.run(_measure(conversations)).items():
        chosen_on = sum(len(one.questions) for one in conversations[:_CHOSEN_ON])
        for part, of in (("all", recalls), ("conversations 6 to 10", recalls[chosen_on:])):
            # A measurement has a most, so that what is held against the goal is what was missed.
            missed = 1 - mean(of)
            goal = {_WHOLE: 1 - GOAL, _MINILM + _WHOLE: 1 - MINILM_GOAL}.get(name, 1.0)
            named = f"LoCoMo, {part}, {name}: recall@10 is {1 - missed:.3f}; missed"
            yield Measurement(named, missed, "", goal=goal)


def _arms(whole: Weights) -> dict[str, Weights]:
    """The parts of recall, one after the other."""
    fused = replace(whole, neighbours=(), dates=0.0, speaker=0.0)
    return {
        _WORDS: replace(fused, bm25=1.0),
        "vectors": replace(fused, bm25=0.0),
        "fused": fused,
        "fused, neighbours": replace(whole, dates=0.0, speaker=0.0),
        "fused, neighbours, dates": replace(whole, speaker=0.0),
    }


def _load(data: Path | None) -> list[Conversation]:
    path = data or Path(os.environ.get("FACTORY_LOCOMO") or _DEFAULT)
    if not path.is_file():
        print(
            f"recall_locomo: there is no {path}; set FACTORY_LOCOMO to LoCoMo's locomo10.json",
            file=sys.stderr,
        )
        return []
    return [_conversation(sample) for sample in json.loads(path.read_text(encoding="utf-8"))]


def _conversation(sample: dict[str, Any]) -> Conversation:
    talk = sample["conversation"]
    turns: list[Draft] = []
    numbers: dict[str, int] = {}
    for session in itertools.count(1):
        if f"session_{session}_date_time" not in talk:
            break
        at = datetime.strptime(talk[f"session_{session}_date_time"], "%I:%M %p on %d %B, %Y").replace(
            tzinfo=UTC
        )
        for turn in talk.get(f"session_{session}", []):
            caption = f" [{turn['blip_caption']}]" if turn.get("blip_caption") else ""
            source = Source("locomo", len(turns), "", f"session_{session}")
            numbers[turn["dia_id"]] = len(turns)
            turns.append(
                Draft(
                    turn["text"] + caption, Kind.EXPERIENCE, source, turn["speaker"], f"session_{session}", at
                )
            )
    questions: list[Question] = []
    for asked in sample["qa"]:
        if asked["category"] == 5:
            continue
        marks = re.findall(r"D:?(\d+):(\d+)", " ".join(asked.get("evidence", [])))
        named = (f"D{int(session)}:{int(turn)}" for session, turn in marks)
        evidence = frozenset(numbers[mark] for mark in named if mark in numbers)
        if evidence:
            questions.append(Question(asked["question"], evidence))
    return Conversation(tuple(turns), tuple(questions))


async def _measure(conversations: Sequence[Conversation]) -> dict[str, list[float]]:
    """For each way to search, the recall of each question."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        async with Database.open(Settings(home=Path(home))) as db:
            found = await _by(db, conversations, LocalEmbedder(), "")
            minilm = await asyncio.to_thread(outside.minilm, _texts(conversations))
            if minilm is not None:
                found |= await _by(db, conversations, minilm, _MINILM)
            for embedder, prefix in ((LocalEmbedder(), ""), (minilm, _MINILM)):
                if embedder is not None and outside.has_mem0():
                    found[f"{prefix}mem0's own search"] = await _mem0(Path(home), conversations, embedder)
            return found


async def _by(
    db: Database, conversations: Sequence[Conversation], embedder: Embedder, prefix: str
) -> dict[str, list[float]]:
    """The recall of each question by words, and by this embedder's vectors."""
    found: dict[str, list[float]] = {}
    async with Memories.open(db, embedder) as memories:
        banks, asked = await _fill(memories, conversations, f"locomo {prefix}")
        if not prefix:
            found["Postgres's full text, ts_rank_cd"] = [
                _recall(await _full_text(db, banks[place].id, question), question)
                for place, question in asked
            ]
        gathered = [await _gather(memories, place, banks[place], question) for place, question in asked]
        for name, weights in _arms(Weights()).items():
            if not (prefix and name == _WORDS):
                found[prefix + name] = [_recall(one.top(weights), one.question) for one in gathered]
        found[prefix + _WHOLE] = [
            _recall([_number(hit.memory.id) for hit in recalled.hits], question)
            for place, question in asked
            for recalled in [await banks[place].recall(question.text, limit=_TOP)]
        ]
    return found


async def _mem0(home: Path, conversations: Sequence[Conversation], embedder: Embedder) -> list[float]:
    """The recall of each question by mem0, with this embedder's vectors."""
    texts = _texts(conversations)
    vectors = dict(zip(texts, await embedder.documents(texts), strict=True))
    talks = [
        ([_embedded(turn) for turn in one.turns], [asked.text for asked in one.questions])
        for one in conversations
    ]
    tops = await asyncio.to_thread(outside.mem0, home, talks, vectors)
    return [
        _recall(top, question)
        for conversation, some in zip(conversations, tops, strict=True)
        for question, top in zip(conversation.questions, some, strict=True)
    ]


def _texts(conversations: Sequence[Conversation]) -> list[str]:
    """All that is embedded, turns and questions."""
    turns = (_embedded(turn) for one in conversations for turn in one.turns)
    questions = (question.text for one in conversations for question in one.questions)
    return list(dict.fromkeys(itertools.chain(turns, questions)))


def _embedded(turn: Draft) -> str:
    """A turn as a bank has it embedded."""
    return adding.spoken(turn.speaker, adding.prepare(turn).text)


async def _fill(
    memories: Memories, conversations: Sequence[Conversation], project: str
) -> tuple[list[Bank], list[tuple[int, Question]]]:
    """A bank for each conversation, and all questions with the evidence as numbers of its memories."""
    banks: list[Bank] = []
    asked: list[tuple[int, Question]] = []
    for place, conversation in enumerate(conversations):
        bank = await memories.bank(project, f"conversation {place}")
        # A turn that says what one before it said is a duplicate, and that one stands for it.
        added = await bank.add(conversation.turns, key="fill")
        for question in conversation.questions:
            evidence = frozenset(_number(added[turn].id) for turn in question.evidence)
            asked.append((place, replace(question, evidence=evidence)))
        banks.append(bank)
    return banks, asked


async def _gather(memories: Memories, place: int, bank: Bank, question: Question) -> Gathered:
    now = await state(memories.db, bank.id)
    [space] = now.spaces
    vector = await memories.embedder.query(question.text)
    sight = recall.Sight(space.space, space.embedder, vector, now.live)
    asked = recall.Question(question.text, _TOP, None, None, None)
    async with memories.db.pool.connection() as connection:
        candidates, median = await recall.gather(
            connection, bank.id, asked, sight, "now", bounds=memories.bounds, beside=len(Weights().neighbours)
        )
    return Gathered(place, question, candidates, median)


async def _full_text(db: Database, bank: int, question: Question) -> list[int]:
    statement = sql.SQL(_FULL_TEXT).format(memories=sql.Identifier(f"memories_{bank}"))
    async with db.pool.connection() as connection:
        found = await (await connection.execute(statement, {"query": question.text})).fetchall()
    return [row["number"] for row in found]


def _recall(top: Sequence[int], question: Question) -> float:
    return len(question.evidence.intersection(top)) / len(question.evidence)


def _number(memory: int) -> int:
    return located(memory)[1]


def choose(data: Path | None = None) -> None:
    """Print the best weights on conversations 1 to 5, the best first: how the defaults came to be."""
    conversations = _load(data)[:_CHOSEN_ON]
    for name, embedder in (("no model", LocalEmbedder()), ("MiniLM", outside.minilm(_texts(conversations)))):
        if embedder is not None:
            print(name)
            asyncio.run(_choose(conversations, embedder))


async def _choose(conversations: Sequence[Conversation], embedder: Embedder) -> None:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        async with Database.open(Settings(home=Path(home))) as db, Memories.open(db, embedder) as memories:
            banks, asked = await _fill(memories, conversations, "locomo")
            gathered = [await _gather(memories, place, banks[place], question) for place, question in asked]
    grid = itertools.product(
        (0.5, 0.6, 0.7, 0.8, 0.9),
        ((0.5, 0.3), (0.5, 0.4, 0.3), (0.6, 0.5, 0.4)),
        (0.5, 1.0, 1.5),
        (0.1, 0.2, 0.3, 0.4),
    )
    tried = [
        Weights(bm25, neighbours=neighbours, dates=dates, speaker=speaker)
        for bm25, neighbours, dates, speaker in grid
    ]
    scored = [
        (mean(_recall(one.top(weights), one.question) for one in gathered), weights) for weights in tried
    ]
    for value, weights in sorted(scored, key=lambda one: -one[0])[:10]:
        print(f"{value:.4f}  {weights}")


if __name__ == "__main__":
    named = [Path(word) for word in sys.argv[1:] if word not in {"choose", "--data"}]
    if "choose" in sys.argv:
        choose(named[0] if named else None)
    else:
        for line in measure(named[0] if named else None):
            print(line.name)
