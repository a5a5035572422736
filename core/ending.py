"""Being told to end: SIGTERM, and Ctrl-C."""

import asyncio
import signal
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Final

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def heard(call: Callable[[], None]) -> Generator[None]:
    """Inside, the first SIGTERM or SIGINT calls `call`; one that follows ends the process at once.

    For the main thread, and not one inside the other.
    """
    loop = asyncio.get_running_loop()

    def listen_no_more() -> None:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)

    def told() -> None:
        listen_no_more()
        call()

    before = {number: signal.getsignal(number) for number in _SIGNALS}
    for number in _SIGNALS:
        loop.add_signal_handler(number, told)
    try:
        yield
    finally:
        listen_no_more()
        for number, handler in before.items():
            signal.signal(number, handler)
