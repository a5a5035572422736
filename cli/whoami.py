"""Who sits here, as the record of a decision names them."""

from __future__ import annotations

import getpass
import os


def whoami() -> str:
    """The login name; where there is none, the number of the user."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"
