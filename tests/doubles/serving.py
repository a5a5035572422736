"""What every double of a model's server has: a port, a thread, hanging, resetting, and a command line."""

from __future__ import annotations

import argparse
import contextlib
import json
import select
import socket
import struct
import threading
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from tests.doubles.schema import example, matches


class Serving:
    """A server on 127.0.0.1, from entering the context to leaving it; on a free port where `port` is 0."""

    port: int
    disconnects: int
    """Requests that the client gave up before their answer was whole."""
    handler: type[Handler]

    def __enter__(self) -> Self:
        self.lock = threading.Lock()
        self.waker, self._wake = socket.socketpair()
        self._http = _Server(("127.0.0.1", self.port), self)
        self.port = self._http.server_address[1]
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._wake.close()  # whoever hangs sees it
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()
        self.waker.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, address: tuple[str, int], double: Serving) -> None:
        self.double = double
        super().__init__(address, double.handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # a client that hangs up is a part of the play


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def body(self) -> dict[str, Any]:
        """The request's JSON."""
        return json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}")

    def reset(self) -> None:
        """End the connection as a crash does."""
        # Lingering for zero seconds turns the close into a reset.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()

    def hang(self) -> None:
        """Say nothing until the client or the double hangs up."""
        ready, _, _ = select.select([self.connection, self.server.double.waker], [], [])
        if self.connection in ready:
            with contextlib.suppress(OSError):
                if not self.connection.recv(1, socket.MSG_PEEK):
                    self.server.double.disconnects += 1
        self.close_connection = True

    def given_up(self) -> None:
        """The client went away in the middle of the answer."""
        self.server.double.disconnects += 1
        self.close_connection = True

    def stream(self, kind: str) -> None:
        """Begin an answer of which the length is not known."""
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def chunk(self, line: bytes) -> None:
        """A piece of that answer; an empty one is its end."""
        self.wfile.write(f"{len(line):x}\r\n".encode() + line + b"\r\n")
        self.wfile.flush()

    def send(
        self, payload: bytes, kind: str, status: int = 200, headers: dict[str, str] | None = None
    ) -> None:
        """A whole answer."""
        with contextlib.suppress(OSError):
            self.send_response(status)
            for name, text in (headers or {}).items():
                self.send_header(name, text)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)


def pieces(text: str) -> list[str]:
    """A text in the tokens of four characters that the doubles speak in."""
    return [text[at : at + 4] for at in range(0, len(text), 4)]


def forced(text: str, schema: dict[str, Any]) -> str:
    """A text that keeps to the schema: this one, or an example."""
    try:
        fits = matches(json.loads(text), schema)
    except ValueError:
        fits = False
    return text if fits else json.dumps(example(schema))


def arguments(about: str | None, failures: Sequence[str]) -> argparse.ArgumentParser:
    """The options that a double's command line has in any case."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--brain", choices=["greeting", "offline"], default="greeting")
    parser.add_argument("--fail", action="append", default=[], metavar="NAME[:TIMES[:AFTER]]",
                        help=f"one of {', '.join(failures)}")  # fmt: skip
    return parser


def brain_of(given: argparse.Namespace) -> Any:
    """The brain that the command line names."""
    if given.brain == "offline":
        from tests.doubles.brains import offline_brain

        return offline_brain()
    return None


def until_interrupted(double: Any, url: str, given: argparse.Namespace, failures: Sequence[str]) -> None:
    """Switch on the failures that the command line names, and serve until Ctrl-C."""
    for failure in given.fail:
        name, *numbers = failure.split(":")
        if name not in failures:
            raise SystemExit(f"no failure {name!r}; there are {', '.join(failures)}")
        times, after = [int(number) for number in (*numbers, "0", "0")[:2]]
        double.fail(name, times=times or None, after=after)
    print(url, flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        threading.Event().wait()
