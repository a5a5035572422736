"""What a played server remembers of a request for an answer."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Exchange:
    """One chat as its server saw it."""

    who: str
    """The key it came with; `ollama` at the Ollama double."""
    body: dict[str, Any]
    failing: set[str] = field(default_factory=set[str])
    said: str = ""
    """What was sent of an answer."""
    whole: bool = False
    """Whether the answer went out to its end, with the server's count of its tokens."""
    input_tokens: int = 0
    """As the server counted them, of whole answers; so are the next."""
    output_tokens: int = 0


Weather = Callable[[str, dict[str, Any]], set[str]]
"""(who asks, body) -> the failures of this one exchange, beside those that are switched on."""
