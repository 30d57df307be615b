"""The disk-backed outbox: creates that wait for the gateway to come back.

With ``Minoots(outbox=Path("outbox.db"))``, ``timers.create`` returns `Queued` instead of a timer when the
gateway cannot be reached or is not available. ``client.outbox.flush()`` sends what is queued, in order; so
does the next create.
"""

from .results import Flushed, Queued
from .store import Entry, Outbox, Rejected

__all__ = ["Entry", "Flushed", "Outbox", "Queued", "Rejected"]
