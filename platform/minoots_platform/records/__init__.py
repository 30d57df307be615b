"""The records (SQL): what was asked and what happened.

Every store function runs inside the caller's transaction.
"""

from .database import Database

__all__ = ["Database"]
