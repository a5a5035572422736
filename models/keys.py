"""Reads the keys of accounts from where `models.toml` says that they are.

A key is known to the redaction from the moment it is read, and held in a SecretStr, so that it reaches no
log, event, trace or error.
"""

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from core import logs, redaction
from models.accounts import Account

_LARGEST = 4_000_000  # bytes of a file of keys: 5,000 keys are below a megabyte

_log = logs.get(__name__)


@dataclass(frozen=True, slots=True)
class Key:
    """The key of one account, or why there is none."""

    account: str
    secret: SecretStr | None
    missing: str = ""
    """Why the account cannot be used; empty where it can."""


def read(name: str, account: Account, folder: Path) -> list[Key]:
    """The keys of an account: one, or one for each line of its `keys_file`. Never raises.

    Relative paths are taken from `folder`, that of the models file.
    """
    if account.key_env:
        text = os.environ.get(account.key_env, "")
        return [_checked(name, text, f"{account.key_env} is not set")]
    if account.key_file:
        text, problem = _file(folder / Path(account.key_file).expanduser())
        return [_checked(name, text, problem or f"{account.key_file} is empty")]
    if account.keys_file:
        text, problem = _file(folder / Path(account.keys_file).expanduser())
        lines = [line.strip() for line in text.splitlines()]
        keys = [line for line in lines if line and not line.startswith("#")]
        if not keys:
            return [Key(name, None, problem or f"{account.keys_file} holds no key")]
        return [
            _checked(f"{name}-{number}", key, f"no key for {name}-{number}")
            for number, key in enumerate(keys, 1)
        ]
    return [Key(name, None)]


def _checked(account: str, text: str, nothing: str) -> Key:
    key = text.strip()
    if not key:
        return Key(account, None, f"no key: {nothing}")
    if not key.isascii() or not key.isprintable() or " " in key:
        return Key(account, None, "its key holds blanks or characters that no key has")
    redaction.know(key)
    return Key(account, SecretStr(key))


def _file(path: Path) -> tuple[str, str]:
    """The text of a file, and what is wrong with it."""
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            text = file.read(_LARGEST).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        return "", f"{path} cannot be read ({why})"
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        _log.warning("others may read a file of keys", file=str(path), todo=f"chmod 600 {path}")
    return text, ""
