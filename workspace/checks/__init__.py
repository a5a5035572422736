"""Checks turn a worktree into evidence. A check that could not run says so; it never passes by default."""

from workspace.checks.result import CheckName, CheckResult, CheckUnknown
from workspace.checks.run import CHECKS, run_checks

__all__ = ["CHECKS", "CheckName", "CheckResult", "CheckUnknown", "run_checks"]
