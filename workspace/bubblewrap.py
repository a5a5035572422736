"""Bubblewrap as a backend: namespaces of this kernel, without a service or an image."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from workspace import cgroups
from workspace.confinement import Confinement
from workspace.launch import launch
from workspace.started import Job, Started


@dataclass
class Bubblewrap:
    """Confines commands with one bubblewrap program."""

    program: str
    home: Path
    """The factory's home, never seen from inside."""
    groups: cgroups.Parents | None = None
    """Where control groups can be made; found by `prepare`."""
    name: str = "bwrap"
    confinement: Confinement = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.confinement = Confinement(self.program, self.home)

    @property
    def place(self) -> str:
        """The path at which commands see the worktree."""
        return self.confinement.place

    @property
    def bounds(self) -> Mapping[str, bool | None]:
        """What control groups bound here; None where this machine lets us make none."""
        groups = self.groups
        return {
            "process_group_limit": True if groups and groups.processes else None,
            "memory_group_limit": True if groups and groups.memory else None,
        }

    async def prepare(self) -> None:
        """Find the control groups, and what to show inside."""
        self.groups = await asyncio.to_thread(cgroups.find)
        await asyncio.to_thread(self.confinement.prepare)

    async def launch(self, job: Job) -> Started:
        """Start a command."""
        return await launch(self.confinement, self.groups, job)
