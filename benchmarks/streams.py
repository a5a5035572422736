"""The reader's end of an event stream over HTTP/1.1, cheap enough for hundreds of them in one process."""

from __future__ import annotations

import re
import socket

LARGEST = 1_000_000
"""Bytes that are taken from a socket at once."""


class Dechunked:
    """What a chunked body says, whatever the pieces in which it comes."""

    def __init__(self) -> None:
        self._rest = b""
        self._left = 0  # bytes of the current chunk that are still to come, with the line's end behind it

    def fed(self, piece: bytes) -> bytes:
        """The part of the body that this piece completes."""
        data, at = self._rest + piece, 0
        parts: list[bytes] = []
        while at < len(data):
            if self._left:
                taken = min(self._left, len(data) - at)
                parts.append(data[at : at + min(taken, max(self._left - 2, 0))])
                self._left -= taken
                at += taken
                continue
            end = data.find(b"\r\n", at)
            if end < 0:
                break
            self._left = int(data[at:end].partition(b";")[0], 16) + 2
            at = end + 2
        self._rest = data[at:]
        return b"".join(parts)


class Frames:
    """Whole server-sent events out of a body that comes in pieces."""

    def __init__(self) -> None:
        self._rest = b""

    def fed(self, body: bytes) -> bytes:
        """As much as whole frames are complete now; the beginning of the next one is kept."""
        whole, end, rest = (self._rest + body).rpartition(b"\n\n")
        self._rest = rest
        return whole + end


class Stream:
    """A connection that has asked for a stream, and was given it."""

    def __init__(self, host: str, port: int, path: str, token: str, *, patience: float) -> None:
        """Raises AssertionError where no stream comes."""
        self.socket = socket.create_connection((host, port), timeout=patience)
        request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\r\n"
        self.socket.sendall(request.encode())
        head = b""
        while b"\r\n\r\n" not in head:
            head += self._taken()
        head, _, first = head.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 "), head
        assert re.search(rb"(?i)\r\ntransfer-encoding: *chunked", head), head
        self._chunks, self._frames = Dechunked(), Frames()
        self._first = first

    def frames(self) -> bytes:
        """The whole frames that came; waits for something to come, where the socket blocks."""
        first, self._first = self._first, b""
        return self._frames.fed(self._chunks.fed(first or self._taken()))

    def until(self, mark: bytes) -> bytes:
        """Read on to the frame that has this mark; the frames that came with it."""
        while True:
            came = self.frames()
            if mark in came:
                return came

    def close(self) -> None:
        """Go away."""
        self.socket.close()

    def _taken(self) -> bytes:
        piece = self.socket.recv(LARGEST)
        assert piece, "the stream has ended"
        return piece
