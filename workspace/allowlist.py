"""Which hosts a command may reach: pure decisions about names, ports and addresses."""

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

WEB_PORTS = (80, 443)
"""The ports of an entry that names none."""

_NAME = re.compile(
    r"(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*"
)
# Public by their number, yet a cloud's own service for the machine that asks.
_METADATA = frozenset(map(ipaddress.ip_address, ("168.63.129.16", "100.100.100.200", "169.254.169.254")))
_TRANSLATED = ipaddress.IPv6Network("64:ff9b::/96")


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of an allow-list: `host`, `host:port`, or `*.suffix` for every name below a suffix."""

    name: str
    below: bool
    """Whether the names below `name` are meant, and not `name` itself."""
    ports: tuple[int, ...]

    def matches(self, host: str, port: int) -> bool:
        """Whether it allows this host and port."""
        named = host.endswith(f".{self.name}") if self.below else host == self.name
        return named and port in self.ports


def entry(text: str) -> Entry:
    """An entry as it is written. Raises ValueError that says what is wrong with it."""
    name, ports = text, WEB_PORTS
    if (text.startswith("[") and not text.endswith("]")) or text.count(":") == 1:
        name, _, number = text.rpartition(":")
        if not number.isdecimal() or not 0 < int(number) < 65536:
            raise ValueError(f"{text!a}: {number!a} is no port")
        ports = (int(number),)
    below = name.startswith("*.")
    plain = host(name[2:] if below else name)
    if plain is None or (below and (is_address(plain) or "." not in plain)):
        raise ValueError(f"{text!a} is no host: write name, name:port or *.suffix.name")
    return Entry(plain, below, ports)


def host(written: str) -> str | None:
    """A host's name or address in the one form that is compared; None where it is neither."""
    text = written.strip().lower()
    if text.startswith("[") and text.endswith("]"):
        text = text[1:-1]
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        text = text.removesuffix(".")
        return text if _NAME.fullmatch(text) else None


def is_address(name: str) -> bool:
    """Whether it is an address and not a name."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def allowed(entries: Sequence[Entry], host: str, port: int) -> bool:
    """Whether one of the entries allows this host and port."""
    return any(entry.matches(host, port) for entry in entries)


def refusal(text: str, networks: Sequence[Network]) -> str:
    """Why no connection is made to this address; empty where one is. `networks` are the operator's own."""
    address = _meant(ipaddress.ip_address(text.partition("%")[0]))
    if any(address in network for network in networks):
        return ""
    if address in _METADATA or address.is_link_local:
        return f"{address} is a link-local or metadata address"
    if address.is_loopback or address.is_unspecified:
        return f"{address} is this machine"
    if address.is_multicast or not address.is_global:
        return f"{address} is a private or reserved address"
    return ""


def _meant(address: Address) -> Address:
    """The address that is really reached: that of version 4 where one of version 6 wraps it."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _TRANSLATED:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1] or address
