"""The pure decisions: does a prompt fit, was it cut, what does a failure mean, how long to wait."""

import json
import random

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import HumanMessage
from ollama import ResponseError

from models.catalogue import load
from models.retry import Verdict, judge, pause
from models.window import estimate, fit, was_cut

LIMITS, RETRY = load().limits, load().retry


@given(prompt=st.integers(0, 200_000), window=st.integers(512, 200_000), longest=st.integers(64, 50_000))
def test_prompt_and_answer_never_pass_the_window(prompt: int, window: int, longest: int) -> None:
    room = fit(prompt, window, longest, LIMITS)
    if room.refused:
        assert window - prompt < LIMITS.least_answer
    else:
        assert 0 < room.answer <= longest
        assert prompt + room.answer <= window


@given(st.text(max_size=300), st.text(max_size=300))
def test_an_estimate_grows_with_the_text(text: str, more: str) -> None:
    assert estimate([HumanMessage(text)], (), LIMITS) <= estimate([HumanMessage(text + more)], (), LIMITS)
    assert estimate([HumanMessage(text)], (), LIMITS) >= len(text) / LIMITS.bytes_per_token


@pytest.mark.parametrize(
    ("estimated", "counted", "cut"),
    [
        (20_000, 15_000, False),  # an estimate is rather too high
        (20_000, 25_000, False),  # dense text, still with room
        (20_000, 32_768, True),  # up to the last token
        (20_000, 31_800, True),
        (20_000, 300, True),  # the oldest messages are gone
        (3_000, 300, False),  # too short to have been cut
        (20_000, 0, False),  # not reported
    ],
)
def test_a_cut_prompt_is_seen_in_the_count(estimated: int, counted: int, cut: bool) -> None:
    assert was_cut(estimated, counted, 32_768, LIMITS) is cut


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (ResponseError("busy", 503), "again"),
        (ResponseError("terminated", 500), "again"),
        (ResponseError("slow down", 429), "again"),
        (ResponseError("unexpected EOF"), "again"),
        (httpx.ConnectError("refused"), "again"),
        (httpx.ReadTimeout("silence"), "again"),
        (json.JSONDecodeError("no JSON", "x", 0), "again"),
        (ResponseError("model 'x' not found", 404), "missing"),
        (ResponseError("the input length exceeds the context length", 400), "overflow"),
        (ResponseError("exceeds the available context size"), "overflow"),
        (ResponseError("x does not support tools", 400), "refused"),
        (ResponseError("unauthorized", 401), "refused"),
    ],
)
def test_a_failure_is_judged(error: Exception, verdict: Verdict) -> None:
    assert judge(error) == verdict


@given(attempt=st.integers(1, 60), seed=st.integers())
def test_waits_double_up_to_a_bound_and_vary(attempt: int, seed: int) -> None:
    seconds = pause(attempt, RETRY, chance=random.Random(seed))
    whole = min(RETRY.longest_seconds, RETRY.first_seconds * 2 ** (attempt - 1))
    assert whole / 2 <= seconds <= whole
