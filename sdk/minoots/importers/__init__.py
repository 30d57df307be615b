"""Bringing schedules over from elsewhere: a crontab, or a Temporal Schedule as its command line prints it.

Pure: text in, arguments of ``timers.create`` out. What cannot be brought over is said, never guessed.
"""

from .crontab import read_crontab
from .imported import Imported, NotImported
from .temporal import read_temporal_schedule

__all__ = ["Imported", "NotImported", "read_crontab", "read_temporal_schedule"]
