"""The offline model: scripted output that drives the real loop."""

from models.offline.model import OfflineModel

__all__ = ["OfflineModel"]
