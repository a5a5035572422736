"""Named places where a test can kill this process.

`FACTORY_CRASH_AT=name` kills it with SIGKILL when that place is reached, `name#3` at the third time.
`FACTORY_CRASH_TRACE=file` appends the name of each place as it is reached, so that a test can first learn
which places there are and then die at each of them.
"""

import os
import signal
import threading

_at, _, _nth = os.environ.get("FACTORY_CRASH_AT", "").partition("#")
_wanted = int(_nth) if _nth.isdecimal() else 1
_trace = os.environ.get("FACTORY_CRASH_TRACE", "")
_armed = bool(_at or _trace)
_lock = threading.Lock()
_hits = 0


def point(name: str) -> None:
    """A place to die. Does nothing unless the environment names it."""
    if _armed:
        _reached(name)


def _reached(name: str) -> None:
    global _hits
    with _lock:
        if _trace:
            with open(_trace, "a", encoding="utf-8") as file:
                file.write(name + "\n")
        if name == _at:
            _hits += 1
            if _hits == _wanted:
                os.kill(os.getpid(), signal.SIGKILL)
