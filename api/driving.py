"""Runs driven in the background of a server: it lives for as long as its process, a run for longer."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from core import clock, logs
from core.errors import FactoryError
from core.redaction import redact
from graph.runner import Factory

LOOK_AGAIN = 10.0
"""Seconds between two looks at whether a question's deadline has passed."""
MOST_AT_ONCE = 4
"""Runs that one server executes side by side; others wait for their turn."""

logger = logs.get(__name__)


@dataclass
class Driving:
    """What this process drives. A run that was cut off here is continued by anybody who resumes it."""

    factory: Factory
    _tasks: dict[str, asyncio.Task[None]] = field(default_factory=dict[str, asyncio.Task[None]])
    _again: set[str] = field(default_factory=set[str])
    _failures: dict[str, str] = field(default_factory=dict[str, str])
    _turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MOST_AT_ONCE))

    async def go_on(self, run_id: str) -> None:
        """Drive the run until it ends or waits, or look again where that is being done already."""
        if run_id in self._tasks:
            self._again.add(run_id)
            return
        self._failures.pop(run_id, None)
        self._tasks[run_id] = asyncio.create_task(self._drive(run_id), name=f"drive {run_id}")

    def works_on(self, run_id: str) -> bool:
        """Whether this process drives the run now."""
        return run_id in self._tasks

    def failure(self, run_id: str) -> str | None:
        """Why this process stopped driving the run, where it did not end or wait."""
        return self._failures.get(run_id)

    async def expire(self) -> None:
        """Decide what nobody has decided in time, and go on with those runs."""
        for asked in await self.factory.approvals.expire(clock.now()):
            await self.go_on(asked.run_id)

    async def keep_time(self) -> None:
        """Watch the deadlines of questions until cancelled."""
        while True:
            try:
                await self.expire()
            except Exception:  # the database may be away for a while; the server stays
                logger.exception("deadlines not looked at")
            await asyncio.sleep(LOOK_AGAIN)

    async def stop(self) -> None:
        """Stop driving. Every run stays as its last checkpoint has it."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _drive(self, run_id: str) -> None:
        try:
            async with self._turns:
                while True:
                    self._again.discard(run_id)
                    await self.factory.drive(run_id)
                    if run_id not in self._again:
                        return
        except FactoryError as error:
            self._failures[run_id] = redact(str(error))
        except Exception as error:
            logger.exception("run not driven", run_id=run_id)
            self._failures[run_id] = redact(f"{type(error).__name__}: {error}")
        finally:
            del self._tasks[run_id]
