"""What a check works with."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from workspace.allowance import Allowance
from workspace.checks.result import CheckResult, Findings
from workspace.checks.suite import Suite
from workspace.files import Files
from workspace.project_settings import ProjectSettings
from workspace.sandbox import Sandbox

Report = CheckResult | Findings | Suite
"""What a check gives: faults or tests, which are then compared with what was before, or a result as it is."""

_KEPT = 16_000_000


@dataclass(frozen=True)
class Scene:
    """One worktree, and what a check may use to look at it."""

    tree: Path
    sandbox: Sandbox
    timeout: float = 120
    """Seconds that one command may take."""
    settings: ProjectSettings = field(default_factory=ProjectSettings)
    changed: Sequence[str] | None = None
    """The paths that the run changed; None where that is not known."""
    advisories: Path | None = None
    """The operator's database of advisories."""
    wheelhouse: Path | None = None
    """The operator's folder of wheels."""

    @property
    def files(self) -> Files:
        """The worktree's files, from the host's side."""
        return Files(self.tree)

    def room(self, policy: str = "test", **more: int) -> Allowance:
        """The policy's limits with room for a long report in the output."""
        rules = self.sandbox.policies.choose(policy)
        return replace(rules.allowance if rules else Allowance(), kept_output=_KEPT, **more)
