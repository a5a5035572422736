"""What the operator sets for a project's dependencies: `[dependencies]` in its project.toml."""

import ipaddress
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from packaging.utils import canonicalize_name
from pydantic import AfterValidator, BaseModel, ConfigDict

from workspace import allowlist, licences

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def index_address(value: str) -> str:
    """The address of a simple index. Raises ValueError where packages must not come from."""
    if not value:
        return value
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError:
        raise ValueError("is no address") from None
    if parts.scheme not in ("https", "http") or not parts.hostname or not value.isprintable() or " " in value:
        raise ValueError("must be https://…")
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        raise ValueError("must be https: over http a package could be changed on its way")
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise ValueError("must be a plain address, without a user, a password, a query or a fragment")
    allowlist.entry(parts.hostname)
    return value.rstrip("/") + "/"


def _folder(value: str) -> str:
    if value and not Path(value).is_absolute():
        raise ValueError("must be the absolute path of a folder")
    return value


def _host(value: str) -> str:
    allowlist.entry(value)
    return value


def _network(value: str) -> str:
    ipaddress.ip_network(value)
    return value


def licence(value: str) -> str:
    """An SPDX id as SPDX writes it. Raises ValueError for what is none."""
    if not (found := licences.canonical(value)):
        raise ValueError(f"{value!a} is no SPDX id")
    return found


class Dependencies(BaseModel):
    """Where a project's packages come from, and what of the factory's allow-list holds for it."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)

    wheelhouse: Annotated[str, AfterValidator(_folder)] = ""
    """A folder of wheels, in place of FACTORY_WHEELHOUSE."""
    index: Annotated[str, AfterValidator(index_address)] = ""
    """A simple index, in place of FACTORY_INDEX_URL; reached through the egress proxy."""
    hosts: list[Annotated[str, AfterValidator(_host)]] = []
    """Hosts beside the index's own from which it serves files."""
    networks: list[Annotated[str, AfterValidator(_network)]] = []
    """Private networks in which those hosts may lie."""
    only: list[Annotated[str, AfterValidator(canonicalize_name)]] | None = None
    """Of the allowed names, those that this project may use."""
    licences: list[Annotated[str, AfterValidator(licence)]] | None = None
    """Of the allowed licences, those that this project may use."""
    denied: list[Annotated[str, AfterValidator(canonicalize_name)]] = []
    """Names that are denied here beside those denied everywhere."""
