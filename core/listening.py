"""Addresses that a server of the factory listens on: one named address, so that it knows its own name."""

import socket
from ipaddress import ip_address
from typing import Any

from core.errors import BadInput


class AddressInvalid(BadInput):
    """The address to listen on cannot be used."""


def listen(address: str) -> tuple[socket.socket, str, int]:
    """A socket that listens on `HOST:PORT`, `:PORT` or `PORT` (0: a free one), its host and its port."""
    host, _, port = address.rpartition(":")
    host = host.strip("[]") or "127.0.0.1"
    todo = "Give HOST:PORT, as in 127.0.0.1:8765"
    if not port.isdecimal() or int(port) > 65535:
        raise AddressInvalid(f"{address[:100]!a} is no address to listen on", todo=todo)
    try:
        if ip_address(host).is_unspecified:
            raise AddressInvalid(
                f"{host} is every address of this machine, and the server must know its own name", todo=todo
            )
    except ValueError:
        pass  # a name
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)[0]
        # With its protocol named, asyncio knows its connections as TCP and sends at once (TCP_NODELAY). Else
        # the second part of each answer waits 40 ms until the client has acknowledged the first.
        listening = _listening(socket.socket(family, kind, protocol), where)
    except OSError as error:
        raise AddressInvalid(f"{address[:100]} cannot be listened on: {error.strerror}", todo=todo) from error
    return listening, host, listening.getsockname()[1]


def _listening(fresh: socket.socket, where: Any) -> socket.socket:
    try:
        fresh.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        fresh.bind(where)
        fresh.listen()
    except OSError:
        fresh.close()
        raise
    return fresh


def is_loopback(host: str) -> bool:
    """Whether what is sent to `host` stays on this machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def in_url(host: str) -> str:
    """A host as it stands in a URL: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host
