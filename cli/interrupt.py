"""Ctrl-C while a run is shown."""

from __future__ import annotations

from core.errors import FactoryError


class RunInterrupted(FactoryError):
    """The run was interrupted."""

    exit_code = 130

    def __init__(
        self, run_id: str, *, untouched: str = "What is finished is kept, and the run can go on where it was"
    ) -> None:
        super().__init__(
            f"Interrupted at run {run_id}",
            untouched=untouched,
            todo=f"Continue it with: factory resume {run_id}",
        )
