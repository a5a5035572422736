"""What a command prints, bounded and made harmless to show."""

import re

_ESCAPE = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # colours, cursor
    r"|\x1b[\]PX^_].*?(?:\x07|\x1b\\|$)"  # titles, links, device strings
    r"|\x1b[ -/]*[0-~]?",
    re.DOTALL,
)
# Control characters but newline and tab, and the marks that turn text around.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def plain(text: str) -> str:
    """`text` without terminal escapes and control characters; carriage returns become line ends."""
    text = _ESCAPE.sub("", text).replace("\r\n", "\n").replace("\r", "\n")
    return _CONTROL.sub("", text)


class Bounded:
    """Keeps the beginning and the end of a stream of any length."""

    def __init__(self, kept: int) -> None:
        self._half = kept // 2
        self._head = bytearray()
        self._tail = bytearray()
        self.total = 0
        """Bytes that came, kept or not."""

    def add(self, chunk: bytes) -> None:
        """Take the next bytes."""
        self.total += len(chunk)
        room = self._half - len(self._head)
        self._head += chunk[:room]
        self._tail += chunk[max(room, 0) :]
        if len(self._tail) > 2 * self._half:
            del self._tail[: -self._half]

    @property
    def truncated(self) -> bool:
        """Whether something in the middle is missing."""
        return self.total > 2 * self._half

    @property
    def text(self) -> str:
        """What was kept, made plain, with a line where something is missing."""
        tail = bytes(self._tail[-self._half :])
        if not self.truncated:
            return plain((bytes(self._head) + tail).decode("utf-8", "replace"))
        left_out = self.total - len(self._head) - len(tail)
        head = plain(self._head.decode("utf-8", "replace"))
        return f"{head}\n[… {left_out} bytes left out …]\n{plain(tail.decode('utf-8', 'replace'))}"
