"""The queue: runs, and work of other kinds, for whichever worker on whichever machine is free."""

from graph.queue.kinds import Handler, Job, Kind, Later
from graph.queue.queue import Queue

__all__ = ["Handler", "Job", "Kind", "Later", "Queue"]
