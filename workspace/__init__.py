"""Where work happens: git, worktrees, the sandbox, checks."""
