"""Connectors that are installed: what their actions look like, and whether this service is set up for them.

Found by entry points of the group ``minoots.connectors``, each of which names a `ConnectorSpec`. The gateway
checks actions by it; a worker loads the sender that it names.
"""

from .checking import ConnectorFault, check_action, hidden, masked_config
from .installed import installed
from .spec import ConnectorSpec

__all__ = ["ConnectorFault", "ConnectorSpec", "check_action", "hidden", "installed", "masked_config"]
