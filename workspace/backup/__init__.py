"""Everything that a factory is, in one file, and back: its database, its repositories, its keys."""

from workspace.backup.making import Made, make
from workspace.backup.restoring import restore

__all__ = ["Made", "make", "restore"]
