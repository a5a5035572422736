"""Where a finished run is pushed: a remote, its forge, and where the token for it is."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, field_validator, model_validator

from core.errors import BadInput
from core.redaction import know, redact

ForgeName = Literal["github", "gitlab", "gitea"]

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_SCP = re.compile(r"(?P<user>[A-Za-z0-9._-]+)@(?P<host>[A-Za-z0-9.-]+):(?P<path>[^/:][^:]*)")
_REF = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*")
_REPOSITORY = re.compile(r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)+")
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class TokenMissing(BadInput):
    """There is no token where the project's settings say."""


class Remote(BaseModel):
    """Where a finished run is pushed, and where its pull request is opened."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)

    url: str
    """What git pushes to: https, ssh, or a local path. http only to this machine. Never with a password."""
    forge: ForgeName
    """Which API the forge speaks."""
    api: str = ""
    """Address of that API; guessed from `url` where it is not given."""
    repository: str = ""
    """`owner/name` at the forge; read from `url` where it is not given."""
    token_env: str = ""
    """Name of the environment variable, or absolute path of the file, that holds the token."""
    branch_prefix: str = "factory/"
    """The branch is this and the run's id."""
    base: str = ""
    """The branch that the pull request is for; the forge's default branch where it is not given."""

    @field_validator("url")
    @classmethod
    def _reachable(cls, value: str) -> str:
        if not value.isprintable() or " " in value or value.startswith("-"):
            raise ValueError("must be one address without blanks")
        if _SCP.fullmatch(value) or value.startswith("/"):
            return value
        parts = _parts(value)
        if parts.scheme == "file" and parts.path.startswith("/"):
            return value
        if parts.scheme not in ("https", "http", "ssh") or not parts.hostname:
            raise ValueError("must be https://…, ssh://…, user@host:path, or an absolute path")
        if parts.password is not None or (parts.username is not None and parts.scheme != "ssh"):
            raise ValueError("must not hold a user's name or password; name where the token is in token_env")
        _plain_only_here(parts.scheme, parts.hostname)
        return value

    @field_validator("api")
    @classmethod
    def _api(cls, value: str) -> str:
        if not value:
            return value
        parts = _parts(value)
        if parts.scheme not in ("https", "http") or not parts.hostname or not value.isprintable():
            raise ValueError("must be https://…")
        if parts.username is not None or parts.query or parts.fragment:
            raise ValueError("must be a plain address, without a user, a query or a fragment")
        _plain_only_here(parts.scheme, parts.hostname)
        return value.rstrip("/")

    @field_validator("repository")
    @classmethod
    def _owner_and_name(cls, value: str) -> str:
        if value and (not _REPOSITORY.fullmatch(value) or ".." in value):
            raise ValueError("must be owner/name")
        return value

    @field_validator("token_env")
    @classmethod
    def _a_place(cls, value: str) -> str:
        if not value:
            return value
        if redact(value) != value:
            raise ValueError("must be the name of a variable or file that holds the token, not the token")
        if not (_VARIABLE.fullmatch(value) or (value.startswith("/") and value.isprintable())):
            raise ValueError("must be the name of an environment variable or the absolute path of a file")
        return value

    @field_validator("branch_prefix")
    @classmethod
    def _prefix(cls, value: str) -> str:
        if value and not is_branch(value + "run"):
            raise ValueError("must be the beginning of a branch's name, as in factory/")
        return value

    @field_validator("base")
    @classmethod
    def _base(cls, value: str) -> str:
        if value and not is_branch(value):
            raise ValueError("must be a branch's name, as in main")
        return value

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if not self.path:
            raise ValueError(f'repository = "owner/name" must be given for the url {self.url!r}')
        if not self.endpoint:
            raise ValueError(f"api must be given for the url {self.url!r}")
        return self

    @property
    def host(self) -> str:
        """The host of `url`; empty for a local path."""
        if scp := _SCP.fullmatch(self.url):
            return scp["host"]
        return "" if self.url.startswith("/") else urlsplit(self.url).hostname or ""

    @property
    def path(self) -> str:
        """`owner/name` at the forge; empty where neither `repository` nor `url` tells."""
        if self.repository or not self.host:
            return self.repository
        scp = _SCP.fullmatch(self.url)
        path = (scp["path"] if scp else urlsplit(self.url).path).strip("/").removesuffix(".git")
        return path if _REPOSITORY.fullmatch(path) and ".." not in path else ""

    @property
    def endpoint(self) -> str:
        """Where the forge's API answers; empty where neither `api` nor `url` tells."""
        if self.api or not self.host:
            return self.api
        if self.forge == "github":
            host = self.host.lower()
            return "https://api.github.com" if host == "github.com" else f"https://{self.host}/api/v3"
        return f"https://{self.host}/api/{'v4' if self.forge == 'gitlab' else 'v1'}"

    def branch(self, run_id: str) -> str:
        """The branch that a run is pushed to."""
        return f"{self.branch_prefix}{run_id}"

    def token(self) -> str | None:
        """The token, read now and masked from now on; None where the settings name none.

        Raises TokenMissing.
        """
        if not self.token_env:
            return None
        if self.token_env.startswith("/"):
            try:
                token = Path(self.token_env).read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                raise TokenMissing(
                    f"The token's file {self.token_env} cannot be read: {type(error).__name__}",
                    todo="Put the token there, or correct token_env",
                ) from None
        else:
            token = os.environ.get(self.token_env, "").strip()
        if not token or not token.isascii() or not token.isprintable() or " " in token:
            raise TokenMissing(
                f"There is no token in {self.token_env}", todo="Set it, or correct token_env in project.toml"
            )
        know(token)
        return token


def is_branch(name: str) -> bool:
    """Whether git takes `name` for a branch, in the plain letters that every forge takes too."""
    parts = name.split("/")
    plain = _REF.fullmatch(name) is not None and len(name) <= 200 and ".." not in name
    return plain and not any(part.endswith((".lock", ".")) for part in parts)


def _parts(value: str) -> Any:
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError:
        raise ValueError("is no address") from None
    return parts


def _plain_only_here(scheme: str, host: str) -> None:
    if scheme == "http" and host not in _LOOPBACK:
        raise ValueError("must be https: over http the token could be read on its way")
