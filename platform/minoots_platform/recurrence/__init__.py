"""When a schedule's times are: rules, exclusions and daylight saving time, as pure functions.

Owns no clock and no rows. Reads the time zones of the machine, which is why workflows do not use it.
"""

from .checking import RecurrenceFault, check
from .previewing import preview
from .times import Found, occurrences

__all__ = ["Found", "RecurrenceFault", "check", "occurrences", "preview"]
