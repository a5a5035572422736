"""Checks turn a worktree into evidence. A check that could not run says so; it never passes by default."""

from workspace.checks.baseline import Baseline
from workspace.checks.result import CheckResult, CheckUnknown, Tick
from workspace.checks.run import CHECKS, run_checks

__all__ = ["CHECKS", "Baseline", "CheckResult", "CheckUnknown", "Tick", "run_checks"]
