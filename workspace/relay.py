"""Leads a command in the sandbox to the proxy outside: 127.0.0.1 in there, a unix socket out here.

The part that runs inside is `relay_inside.py`, read as text: it imports nothing of the factory.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files

SOCKET = "/run/egress.sock"
"""Where the proxy's socket lies inside."""
_PORT = 3128
"""Inside, where nothing else has it: the network there is the command's own."""

PROXY = f"http://127.0.0.1:{_PORT}"
"""The address of the proxy, for commands."""
ENVIRONMENT: Mapping[str, str] = {
    **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), PROXY),
    **dict.fromkeys(("NO_PROXY", "no_proxy"), "localhost,127.0.0.1"),
}
"""What tells programs of the proxy."""


def through_relay(words: Sequence[str]) -> list[str]:
    """The command with the relay started before it."""
    return ["python3", "-I", "-S", "-c", _program(), str(_PORT), SOCKET, *words]


@cache
def _program() -> str:
    return (files("workspace") / "relay_inside.py").read_text()
