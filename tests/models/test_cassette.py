"""The file of recorded calls: written through crashes and by many at once, read with distrust."""

import json
import threading
from decimal import Decimal
from pathlib import Path

import pytest
from langchain_core.messages import AIMessage, HumanMessage

from models.calls import Reply
from models.cassette import Asked, CassetteInvalid, Facts, Replay
from models.recording import Recorder
from tests.models.calling import CODER, a_call

HOME = Path("/home/factory")


def asked(text: str, key: str) -> Asked:
    return Asked(a_call(key=key), CODER, 0, [HumanMessage(text)], None, ())


def reply(text: str) -> Reply:
    return Reply(AIMessage(text), CODER, "ollama", "small", 1, 1, Decimal(0), 0.1)


def record(path: Path, key: str) -> None:
    recorder = Recorder(path, HOME)
    recorder.begin("run-1")
    recorder.facts("maker", CODER, [Facts(tools=True, window=1)])
    recorder.replied(asked(f"question {key}", key), reply(f"answer {key}"))


def test_a_recording_that_a_crash_cut_off_goes_on_after_its_last_whole_line(tmp_path: Path) -> None:
    tape = tmp_path / "run.jsonl"
    record(tape, "1")
    whole = tape.read_bytes()
    with tape.open("ab") as file:
        file.write('{"call":"2","reply":{"content":"ü'.encode()[:-1])
    record(tape, "2")
    assert tape.read_bytes().startswith(whole)
    replay = Replay.load(tape, HOME)
    for key in ("1", "2"):
        assert replay.reply(asked(f"question {key}", key)).message.content == f"answer {key}"


def test_stages_that_begin_a_recording_at_the_same_moment_all_write_into_it(tmp_path: Path) -> None:
    for number in range(200):
        tape = tmp_path / f"{number}.jsonl"
        recorder, failed, together = Recorder(tape, HOME), list[Exception](), threading.Barrier(4)

        def begin(
            recorder: Recorder = recorder,
            failed: list[Exception] = failed,
            together: threading.Barrier = together,
        ) -> None:
            together.wait()
            try:
                recorder.begin("run-1")
            except CassetteInvalid as error:
                failed.append(error)

        threads = [threading.Thread(target=begin) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failed
        assert len(tape.read_text().splitlines()) == 1


@pytest.mark.parametrize(
    "line",
    [
        '{"text": "abc"}',
        '{"facts": "factory/coder", "team": 3}',
        '{"facts": "factory/coder", "team": "", "candidates": [{"tools": 1}]}',
        '{"call": "1"}',
        '{"call": "1", "candidate": 0, "sent": "x", "reply": 3}',
        '{"call": ["1"], "candidate": 0, "sent": []}',
        "}",
        "[" * 100_000,
    ],
)
def test_a_cassette_that_somebody_changed_is_refused_with_its_line(tmp_path: Path, line: str) -> None:
    tape = tmp_path / "run.jsonl"
    record(tape, "1")
    head, *rest = tape.read_text().splitlines()
    tape.write_text("\n".join([head, line, *rest, "}", ""]))
    with pytest.raises(CassetteInvalid, match=r"run\.jsonl:2 "):
        Replay.load(tape, HOME)


def test_a_cassette_without_an_end_is_read_to_its_last_whole_line(tmp_path: Path) -> None:
    tape = tmp_path / "run.jsonl"
    record(tape, "1")
    tape.write_text(tape.read_text() + json.dumps({"text": "x", "content": "y"})[:-3])
    assert Replay.load(tape, HOME).facts("maker", CODER) == (Facts(tools=True, window=1),)
