"""Puts what checks made for people to look at, such as a picture of the page, into the mail of the run."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from graph.check_report import CheckSummary
from graph.mailing import MOST_ATTACHED
from graph.services import Services


async def attach(services: Services, run_id: str, checks: Sequence[CheckSummary]) -> list[str]:
    """Commit the checks' artifacts beside the run's mail, once; gives their paths in the repository.

    One that is gone from the disk is left out: the mail tells of what there is.
    """
    mail = await services.mail(run_id)
    attached: list[str] = []
    for path in (Path(each) for check in checks for each in check.artifacts):
        content = await asyncio.to_thread(_read, path)
        if content is not None:
            attached.append(await mail.attach(path.name, content))
    return attached


def _read(path: Path) -> bytes | None:
    try:
        if path.stat().st_size <= MOST_ATTACHED:
            return path.read_bytes()
    except OSError:
        pass
    return None
