"""Whether pytest has to load the plugins that are installed beside the factory.

Loading them takes seconds, several times as long as most suites, and none of them is the project's. A team's
own look at its tests and the check that decides run with the same ones.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from workspace.errors import WorkspaceError
from workspace.files import Files

_WANTED: Final = re.compile(r"asyncio_mode|mark\.(asyncio|anyio)|pytest_asyncio|pytest_plugins|addopts")
_CONFIGURED: Final = (
    *("pyproject.toml", "pytest.ini", "tox.ini", "setup.cfg"),
    *("**/conftest.py", "**/test_*.py"),
)
_OPTIONS: Final = re.compile(r"(^|\s)(--cov|-n|--numprocesses|--dist|--asyncio-|--anyio-|--hypothesis-)")
"""Options that a plugin has."""


def environment(files: Files) -> Mapping[str, str]:
    """What pytest is told by its environment for these tests."""
    if any(files.search(_WANTED.pattern, pattern) for pattern in _CONFIGURED):
        return {}
    return {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}


def of_command(command: str, files: Files) -> Mapping[str, str]:
    """The same for a command line; nothing for one that runs no tests, or asks a plugin for something."""
    if "pytest" not in command or _OPTIONS.search(command):
        return {}
    try:
        return environment(files)
    except (WorkspaceError, OSError):  # what cannot be looked at decides nothing
        return {}
