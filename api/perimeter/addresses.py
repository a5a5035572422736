"""Who is at the other end, and whom they believe they speak to."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import Final
from urllib.parse import urlsplit

from core.errors import FactoryError
from governance.roles import NotPermitted

_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})


class WrongHost(FactoryError):
    """The request is for another host."""

    http_status = 421


class WrongOrigin(NotPermitted):
    """A page of another site sent the request."""


@dataclass(frozen=True)
class Names:
    """The names under which this server is spoken to.

    A page whose own name was made to lead to 127.0.0.1 (DNS rebinding) has the browser send that name as
    Host, and a page of another site has it send its Origin: both are turned away.
    """

    hosts: frozenset[str]
    origins: frozenset[str] = frozenset()
    """Sites that may read answers too (CORS); `*` for all."""

    @classmethod
    def of(cls, listening: str, hosts: Collection[str] = (), origins: Collection[str] = ()) -> Names:
        """For a server that listens at the host `listening` and is also called `hosts`."""
        own = _LOOPBACK if listening in _LOOPBACK or listening.startswith("127.") else frozenset[str]()
        named = {listening, *own, *hosts}
        return cls(frozenset(name.lower().strip("[]") for name in named), frozenset(origins))

    def check(self, host: str, origin: str | None) -> None:
        """Raises WrongHost, WrongOrigin."""
        if "*" not in self.hosts and _name(f"//{host}") not in self.hosts:
            raise WrongHost(
                f"This server is not called {host[:100]!a}",
                untouched="Nothing was done",
                todo="Use the address that it printed, or name this one in FACTORY_HOSTS",
            )
        if origin is None or origin in self.origins or self.origins & {"*"} or self.hosts & {"*"}:
            return
        if _name(origin) not in self.hosts:
            raise WrongOrigin(
                f"A page of {origin[:100]!a} sent the request",
                untouched="Nothing was done",
                todo="If that site may use this server, name it in FACTORY_CORS_ORIGINS",
            )


def _name(url: str) -> str | None:
    try:
        return (urlsplit(url).hostname or "").rstrip(".") or None
    except ValueError:
        return None


def grouped(address: str) -> str:
    """The address as limits count it: of IPv6 the network of 64 bits, which is what one customer has."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return address[:64]
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return f"{IPv6Address(int(parsed) >> 64 << 64)}/64"
    return str(parsed)


def is_own(address: str) -> bool:
    """Whether it is this machine, or a socket without an address."""
    try:
        return ip_address(address.partition("%")[0]).is_loopback
    except ValueError:
        return address == ""
