"""How a model's server can fail."""

from dataclasses import dataclass
from typing import Literal, get_args

FailureName = Literal[
    "http-500",  # an error of the server
    "http-503",  # overloaded
    "http-404",  # no such model, this once
    "gone",  # the model is removed, for good
    "slow",  # the first byte comes late
    "hang",  # no byte ever comes
    "reset",  # the connection is reset
    "cut",  # the connection ends in the middle of the stream
    "cut-clean",  # the stream ends in good order without its last line: so Ollama ends what goes in circles
    "error-line",  # the stream ends in an error
    "bad-line",  # a line that is no JSON
    "empty",  # an answer without a word
    "length",  # done_reason length
    "prose",  # prose where JSON was asked for, `format` or not
    "half-json",  # JSON that ends in the middle
    "ignore-format",  # the schema is not enforced
    "ignore-format-without-thinking",  # nor is it while thinking is off, as with some models
    "think",  # thinking in the text, in <think> tags
    "ignore-tools",  # tools are not offered to the model
    "capped",  # the window is smaller than asked for; only /api/ps shows it
    "overflow",  # the model's tokens are shorter than anybody thought, so that long prompts are cut
    "too-long",  # the prompt is refused, as newer servers do where they cannot cut it
    "repeat",  # an answer that never ends, past num_predict
]
FAILURES: tuple[str, ...] = get_args(FailureName)


@dataclass
class Failure:
    """One failure that is switched on."""

    name: FailureName
    times: int | None = None
    """How many chats it spoils; None: every one."""
    after: int = 0
    """How many chats are left alone first."""
