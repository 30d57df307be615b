"""How actions get to where they go: one connector for each kind of action.

A connector makes one attempt and says what came of it. Rows, retries and workflows are not here.
"""

from .connector import Connector, Sending, connectors
from .health import HealthWatch
from .sender import World

__all__ = ["Connector", "HealthWatch", "Sending", "World", "connectors"]
