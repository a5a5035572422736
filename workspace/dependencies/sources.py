"""Where packages may come from: a folder of wheels, an index behind the egress proxy, or nowhere."""

import hashlib
import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from core.errors import BadInput
from core.settings import Settings
from workspace import allowlist
from workspace.dependencies.settings import Dependencies, index_address
from workspace.egress import Egress
from workspace.errors import WorkspaceError

SUMS = "SHA256SUMS"
"""A file of this name in a wheelhouse pins its wheels, as `sha256sum` writes it."""

MOST_BYTES = 2_000_000_000
"""Of traffic with an index, for one set of packages."""

_SUM = re.compile(r"([0-9a-f]{64}) [ *](\S+)")
_LARGEST = 5_000_000


@dataclass(frozen=True, slots=True)
class Sources:
    """Where packages may come from."""

    wheelhouse: Path | None = None
    index: str = ""
    """Address of a simple index (PEP 503); empty: none."""
    egress: Egress | None = None
    """What fetching may reach; None without an index."""

    def __bool__(self) -> bool:
        return self.wheelhouse is not None or bool(self.index)

    def __str__(self) -> str:
        told = [f"the wheelhouse {self.wheelhouse}"] if self.wheelhouse else []
        return " and ".join([*told, f"the index {self.index}"] if self.index else told) or "nowhere"

    def fingerprint(self) -> str:
        """Changes when the wheelhouse's content, as listed, or the index's address does."""
        listed: list[str] = []
        if self.wheelhouse is not None and self.wheelhouse.is_dir():
            for path in sorted(self.wheelhouse.iterdir()):
                status = path.stat()
                listed.append(f"{path.name} {status.st_size} {status.st_mtime_ns}")
        return hashlib.sha256("\n".join([str(self), *listed]).encode("utf-8", "replace")).hexdigest()

    def sums(self) -> dict[str, str] | None:
        """File name → SHA-256 in the wheelhouse; None where nothing is pinned."""
        if self.wheelhouse is None or not (file := self.wheelhouse / SUMS).is_file():
            return None
        text = file.read_bytes()[:_LARGEST].decode("utf-8", "replace")
        return {name: digest for digest, name in _SUM.findall(text)}

    def source_of(self, name: str) -> bool:
        """Whether the wheelhouse has the package as a source distribution."""
        if self.wheelhouse is None or not self.wheelhouse.is_dir():
            return False
        wanted = re.compile(
            re.escape(name).replace(r"\-", "[-_.]+") + r"-[^-]+\.(tar\.gz|zip)", re.IGNORECASE
        )
        return any(wanted.fullmatch(path.name) for path in self.wheelhouse.iterdir())


class IndexInvalid(WorkspaceError, BadInput):
    """The address of the package index cannot be used."""


def sources(settings: Settings, project: Dependencies) -> Sources:
    """A project's sources: its own where the operator gave some, else the factory's. Raises IndexInvalid."""
    wheelhouse = Path(project.wheelhouse) if project.wheelhouse else settings.wheelhouse
    try:
        index = project.index or index_address(settings.index_url or "")
    except ValueError as error:
        raise IndexInvalid(f"FACTORY_INDEX_URL {error}", todo="Correct it") from None
    if not index:
        return Sources(wheelhouse)
    parts = urlsplit(index)
    host = f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)
    hosts = tuple(allowlist.entry(each) for each in (host, *project.hosts))
    networks = tuple(ipaddress.ip_network(each) for each in project.networks)
    return Sources(wheelhouse, index, Egress(hosts, networks, bytes=MOST_BYTES))
