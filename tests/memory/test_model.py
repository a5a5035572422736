"""mem0 extracts with our model and our rules: unreadable replies are failures, and it leaves and sends
nothing.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from langchain_core.messages import BaseMessage

from core.errors import FactoryError
from memory.extraction.model import ExtractionFailed, extract, memories_in, rules

MATTER = "---\ncall: remember\nteam: backend_engineering\n---\n"
GOOD = json.dumps({"memory": [{"id": "0", "text": "A loan lasts 21 days.", "attributed_to": "assistant"}]})
HALF = '{"memory": [{"id": "0", "text": "A loan lasts'


class Model:
    """Gives its replies one after the other, the last one again and again."""

    def __init__(self, *replies: str) -> None:
        self.replies = list(replies)
        self.heard: list[Sequence[BaseMessage]] = []

    async def __call__(self, messages: Sequence[BaseMessage]) -> str:
        self.heard.append(messages)
        return self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]


async def read(model: Model) -> list[str]:
    return await extract("A loan lasts 21 days.", model, matter=MATTER, session="run-1/backend.1")


@pytest.mark.parametrize(
    "reply",
    [
        GOOD,
        f"```json\n{GOOD}\n```",
        f"<think>{{ what to keep? [</think>\n{GOOD}",
        f"Here it is:\n{GOOD}\nThat is all.",
        '{"memory": ["A loan lasts 21 days."]}',
        '["A loan lasts 21 days."]',
        '[{"text": "A  loan\\nlasts 21 days."}]',
        'Of - [ ] to do, I keep:\n{"memory": ["A loan lasts 21 days."]}',
        'Here it is: [{"text": "A loan lasts 21 days."}]',
    ],
)
async def test_a_reply_that_can_be_read_gives_its_memories(reply: str) -> None:
    model = Model(reply)
    assert await read(model) == ["A loan lasts 21 days."]
    assert len(model.heard) == 1


@pytest.mark.parametrize("reply", ['{"memory": []}', "[]", '{"memory": [{"text": " "}]}'])
async def test_nothing_to_keep_is_no_failure(reply: str) -> None:
    model = Model(reply)
    assert await read(model) == []
    assert len(model.heard) == 1


BAD = [
    "There is nothing special here.",
    HALF,
    '{"facts": ["A loan lasts 21 days."]}',
    '{"memory": "A loan lasts 21 days."}',
    '{"memory": [3]}',
    '{"memory": [{"said": "x"}]}',
    "I looked for:\n- [ ] decisions\n- [x] numbers",
    "Nothing was found in [] of this.",
    'The routes take methods=["GET"], that is all.',
    'Not {"memory": []} but {"memory": ["A loan lasts 21 days."]}',
    "",
    "[" * 100_000,
]


@pytest.mark.parametrize("reply", BAD)
async def test_a_reply_that_cannot_be_read_is_repaired_once_and_then_a_failure(reply: str) -> None:
    model = Model(reply)
    with pytest.raises(ExtractionFailed) as failed:
        await read(model)
    assert failed.value.raw == reply[:4000]
    assert len(model.heard) == 2
    assert "# Errors" in str(model.heard[1][-1].content)


async def test_what_no_database_can_hold_is_kept_as_a_sign_that_can_be_read() -> None:
    model = Model('{"memory": ["A lone \\ud800 and a \\u0000 here."]}')
    assert await read(model) == ["A lone \ufffd and a \ufffd here."]


async def test_mem0_takes_nothing_out_of_what_the_model_said() -> None:
    said = ["The tag <think> opens a thought.", "A loan lasts 21 days.", "The tag </think> ends it."]
    assert await read(Model(json.dumps({"memory": said}))) == said
    fenced = ["Fences are ```json\n{}\n``` lines."]
    assert await read(Model(json.dumps({"memory": fenced}))) == [" ".join(fenced[0].split())]


@pytest.mark.parametrize("unit", ["<think>", "```\n", "```json\n\n", "{", "[", "[ ]", '{"memory":'])
def test_a_hostile_reply_is_read_in_time(unit: str) -> None:
    began = time.process_time()
    with pytest.raises(ExtractionFailed):
        memories_in(unit * (200_000 // len(unit)))
    assert time.process_time() - began < 30


async def test_what_breaks_within_mem0_is_a_failure_to_extract(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> list[str]:
        raise RuntimeError("the table is gone")

    await read(Model(GOOD))  # imported by now
    monkeypatch.setattr("memory.extraction.engine.run", broken)
    with pytest.raises(ExtractionFailed, match="mem0 failed: RuntimeError: the table is gone"):
        await read(Model(GOOD))

    def silent(_: str, reply: Callable[[str], str], *__: object) -> list[str]:
        return [reply("")][:0]

    monkeypatch.setattr("memory.extraction.engine.run", silent)
    with pytest.raises(ExtractionFailed, match="mem0 lost 1 of 1"):
        await read(Model(GOOD))


async def test_a_repaired_reply_counts() -> None:
    assert await read(Model(HALF, GOOD)) == ["A loan lasts 21 days."]


async def test_the_model_is_asked_with_our_rules_and_the_front_matter_and_little_else() -> None:
    model = Model(GOOD)
    await read(model)
    system, human = (str(message.content) for message in model.heard[0])
    assert human.startswith(MATTER)
    assert rules().strip() in human
    assert "A loan lasts 21 days." in human
    assert len(system) + len(human) < 4_000


async def test_a_model_that_cannot_answer_is_said_as_it_said_it() -> None:
    class Down(FactoryError):
        """No model."""

    async def ask(_: Sequence[BaseMessage]) -> str:
        raise Down("no model answers")

    with pytest.raises(Down, match="no model answers"):
        await extract("text", ask, matter=MATTER, session="s")


async def test_the_loop_goes_on_while_a_model_thinks_and_a_cancelled_extraction_ends() -> None:
    ticks = 0

    async def ask(_: Sequence[BaseMessage]) -> str:
        await asyncio.sleep(30)
        return GOOD

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0.01)

    await read(Model(GOOD))  # imported by now
    ticking = asyncio.create_task(tick())
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await extract("text", ask, matter=MATTER, session="s")
    ticking.cancel()
    assert ticks > 10
    assert time.monotonic() - began < 60


async def test_many_extractions_at_once_do_not_mix() -> None:
    async def one(number: int) -> list[str]:
        said = json.dumps({"memory": [f"Number {number} is kept."]})
        return await extract(f"Number {number}", Model(said), matter=MATTER, session=f"run-{number}/x")

    found = await asyncio.gather(*(one(number) for number in range(20)))
    assert found == [[f"Number {number} is kept."] for number in range(20)]


def test_a_long_reply_is_bounded() -> None:
    texts = memories_in(json.dumps({"memory": ["x" * 10_000] * 500}))
    assert len(texts) == 40
    assert {len(text) for text in texts} == {2_000}


_ALONE = """
import asyncio, socket, sys
from pathlib import Path
sent = []
def refuse(self, address, *rest):
    sent.append(address)
    raise OSError("no network in this test")
socket.socket.connect = refuse
socket.socket.connect_ex = refuse
from memory.extraction.model import extract
assert "mem0" not in sys.modules
async def ask(messages):
    return '{"memory": ["A loan lasts 21 days."]}'
print(asyncio.run(extract("A loan lasts 21 days.", ask, matter="", session="s/1")))
from mem0.memory import telemetry
assert telemetry.MEM0_TELEMETRY is False and telemetry.client_telemetry.posthog is None
assert not sent, sent
"""


def test_mem0_sends_nothing_leaves_no_file_and_is_not_imported_before_it_is_needed(tmp_path: Path) -> None:
    env = {**os.environ, "HOME": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[2])}
    env["TMPDIR"] = str(tmp_path)
    env["MEM0_TELEMETRY"] = "True"  # whatever the machine says
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", _ALONE],
        cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout.strip()) == (0, "['A loan lasts 21 days.']"), done.stderr
    assert done.stderr == ""
    assert list(tmp_path.rglob("*")) == []
