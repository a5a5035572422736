"""A TCP proxy before a database, in a process's own thread: it can be cut, or fall silent."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path


class Wire:
    """Carries bytes between a port of loopback and a Unix socket, until it is cut."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        self._ends: set[socket.socket] = set()
        self._flowing = threading.Event()
        self._flowing.set()
        self._refusing = False
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._spawn(self._accept)

    def cut(self) -> None:
        """Break every connection; new ones are refused until `mend`."""
        self._refusing = True
        with self._lock:
            ends, self._ends = list(self._ends), set()
        for end in ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def silence(self) -> None:
        """Carry nothing any more, and tell nobody."""
        self._flowing.clear()

    def mend(self) -> None:
        """Carry again."""
        self._refusing = False
        self._flowing.set()

    def close(self) -> None:
        """End it."""
        self.mend()
        self.cut()
        self._listening.shutdown(socket.SHUT_RDWR)  # which wakes who waits for a connection
        self._listening.close()
        for thread in self._threads:
            thread.join(5)

    def _spawn(self, target: Callable[..., None], *ends: socket.socket) -> None:
        thread = threading.Thread(target=target, args=ends, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listening.accept()
            except OSError:
                return
            if self._refusing:
                near.close()
                continue
            far = socket.socket(socket.AF_UNIX)
            try:
                far.connect(str(self._target))
            except OSError:  # nobody listens there now
                near.close()
                far.close()
                continue
            with self._lock:
                self._ends |= {near, far}
            for source, sink in ((near, far), (far, near)):
                self._spawn(self._carry, source, sink)

    def _carry(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self._flowing.wait()
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        with self._lock:
            self._ends.discard(source)
        source.close()  # the other thread closes the other end


@contextlib.contextmanager
def wire(target: Path) -> Iterator[Wire]:
    """A wire to the socket at `target`."""
    opened = Wire(target)
    try:
        yield opened
    finally:
        opened.close()
