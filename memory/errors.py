"""What can go wrong with a bank."""

from core.errors import BadInput


class MemoryRefused(BadInput):
    """A memory cannot be kept as it is."""
