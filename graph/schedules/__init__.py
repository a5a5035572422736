"""Schedules: what a project is to be given again and again, at times or at intervals."""

from graph.schedules.schedules import NoSuchSchedule, Schedule, ScheduleInvalid, Schedules, Work
from graph.schedules.times import Times, interval, next_time

__all__ = [
    "NoSuchSchedule",
    "Schedule",
    "ScheduleInvalid",
    "Schedules",
    "Times",
    "Work",
    "interval",
    "next_time",
]
