"""The sandbox tries every protection each time that a factory opens; here, once for each kind of sandbox.

For tests of what a run comes to: they open a factory in every process that they kill. The trial itself is
tested in tests/workspace/test_sandbox.py, and each factory that such a test does not open makes its own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Mapping
from pathlib import Path
from typing import Final

import pytest

from workspace import selftest
from workspace.sandbox import Sandbox

Held = Mapping[str, bool | None]

_MADE: Final[dict[str, Held]] = {}
"""What held, by the name of what confines."""
_trial: Final[Callable[[Sandbox, Path], Awaitable[Held]]] = selftest.protections


async def _once(sandbox: Sandbox, home: Path) -> Held:
    name = f"{sandbox.backend} {sandbox._backend!r}".replace(str(home), "")
    if name not in _MADE:
        _MADE[name] = await _trial(sandbox, home)
    return _MADE[name]


def known() -> dict[str, Held]:
    """For another process: what was tried in this one."""
    return dict(_MADE)


def believe(told: Mapping[str, Held]) -> None:
    """Take what another process tried, for the rest of this one's life."""
    _MADE.update(told)
    selftest.protections = _once


@pytest.fixture(autouse=True, scope="package")
def tried_once() -> Generator[None]:
    """Import it into a package's conftest."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(selftest, "protections", _once)
        yield
