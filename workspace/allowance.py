"""How much a command may take."""

import resource
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Allowance:
    """How much a command may take."""

    address_space: int = 4_000_000_000
    """Bytes of address space of each process."""
    memory: int = 2_000_000_000
    """Bytes of memory of all processes together."""
    processes: int = 256
    open_files: int = 1024
    file_size: int = 100_000_000
    """Bytes that one file may have."""
    scratch: int = 500_000_000
    """Bytes of /tmp, which is memory."""
    tree_files: int = 10_000
    tree_bytes: int = 400_000_000
    """What the worktree may hold while the command runs; a snapshot allows less."""
    kept_output: int = 200_000
    most_output: int = 50_000_000
    seconds: int = 3_600
    """The longest that a command may run, whatever is asked for."""

    def per_process(self, seconds: float) -> dict[int, tuple[int, int]]:
        """The limits that the kernel keeps per process, or per user: soft and hard."""
        cpu = int(seconds * 4) + 10
        limits = {
            resource.RLIMIT_AS: self.address_space,
            resource.RLIMIT_NPROC: self.processes,
            resource.RLIMIT_NOFILE: self.open_files,
            resource.RLIMIT_FSIZE: self.file_size,
            resource.RLIMIT_CPU: cpu,
            resource.RLIMIT_CORE: 0,
        }
        return {which: (limit, limit) for which, limit in limits.items()}
