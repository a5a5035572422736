"""An HTTP server that ends in order when the process is told to."""

from collections.abc import Generator
from contextlib import contextmanager

import uvicorn

from core import ending


class Server(uvicorn.Server):
    """It leaves signals to `ended_in_order`: uvicorn would raise what it caught once more as soon as the last
    request was answered, and the process die before it has cleaned up."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Nothing is captured."""
        yield

    @contextmanager
    def ended_in_order(self) -> Generator[None]:
        """Inside, SIGTERM or Ctrl-C has `serve` return; a second one ends the process at once."""

        def told() -> None:
            self.should_exit = True

        with ending.heard(told):
            yield
