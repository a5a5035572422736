"""Where a webhook may lead: to the public Internet over TLS, and else only where the operator allows it.

A URL that a user gives must not make this server speak to what only this server can reach. So a name is
resolved here, every address that it has is looked at, and the connection goes to that address and no other.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final
from urllib.parse import SplitResult, urlsplit

from core.errors import BadInput

_LONGEST: Final = 2_000  # characters
_NAT64: Final = IPv6Network("64:ff9b::/96")

Address = IPv4Address | IPv6Address
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]


class UrlRefused(BadInput):
    """A webhook may not lead there."""


@dataclass(frozen=True, slots=True)
class Place:
    """A URL, and the one address that is connected to."""

    url: str
    """With the address in the place of the name."""
    host: str
    """The name: what TLS asks the certificate for."""
    authority: str
    """The name and the port, for the header Host."""


async def _resolve(host: str, port: int) -> Sequence[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(where[4][0]) for where in found]


@dataclass(frozen=True)
class Addresses:
    """Which places are open."""

    allowed: Sequence[str] = ()
    """Names and networks of the operator's own that are open too, also without TLS."""
    resolve: Resolve = _resolve

    def checked(self, url: str) -> SplitResult:
        """The URL's parts, where it may be one; nothing is resolved. Raises UrlRefused."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            raise _refused("it cannot be read") from None
        if len(url) > _LONGEST or not url.isascii() or not url.isprintable() or " " in url:
            raise _refused("it is too long, or not written in ASCII")
        if not host or port == 0:
            raise _refused("it names no host")
        if parts.username is not None or parts.password is not None or parts.fragment:
            raise _refused("it has a user, a password or a fragment")
        literal = _literal(host)
        named = host in self.allowed or (literal is not None and self._listed(literal))
        if parts.scheme != "https" and not (parts.scheme == "http" and named):
            raise _refused("it is not https")
        if literal is not None and not (named or is_public(literal)):
            raise _refused(f"{literal} is not on the public Internet")
        return parts

    async def find(self, url: str) -> Place:
        """Where to connect for a URL. Raises UrlRefused, OSError."""
        parts = self.checked(url)
        host = str(parts.hostname)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        found = [ip_address(text.partition("%")[0]) for text in await self.resolve(host, port)]
        if not found:
            raise _refused(f"{host} has no address")
        for address in found:
            if not (is_public(address) or host in self.allowed or self._listed(address)):
                raise _refused(f"{host} leads to {address}, which is not on the public Internet")
        where = f"[{found[0]}]" if found[0].version == 6 else str(found[0])
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return Place(f"{parts.scheme}://{where}:{port}{path}", host, parts.netloc)

    def _listed(self, address: Address) -> bool:
        for entry in self.allowed:
            try:
                network = ip_network(entry)
            except ValueError:
                continue  # a name
            if address.version == network.version and address in network:
                return True
        return False


def is_public(address: Address) -> bool:
    """Whether everybody could reach it; of an address that holds another one, that one counts too."""
    if isinstance(address, IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and address in _NAT64:
            inner = IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(inner)
        if address.teredo is not None or address.is_site_local:
            return False
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)


def _literal(host: str) -> Address | None:
    try:
        return ip_address(host.partition("%")[0])
    except ValueError:
        return None


def _refused(why: str) -> UrlRefused:
    return UrlRefused(
        f"The URL cannot be a webhook: {why}",
        untouched="Nothing was sent",
        todo="Use https and a public host, or have the operator allow it: FACTORY_WEBHOOK_ALLOW",
    )
