"""How actions get to where they go: one connector for each kind of action.

A connector makes one attempt and says what came of it. Rows, retries and workflows are not here.
"""

from .agents import AgentInboxes
from .connector import Connector, Sending
from .health import HealthWatch
from .plugged import Plugged, plugged
from .sender import World
from .webhooks import Webhooks

__all__ = ["AgentInboxes", "Connector", "HealthWatch", "Plugged", "Sending", "Webhooks", "World", "plugged"]
