"""How recordings look: one writer for each format, found by entry points of the group ``minoots.writers``."""

from .installed import installed
from .writer import Beside, Look, Rendered, Writer, agent_file

__all__ = ["Beside", "Look", "Rendered", "Writer", "agent_file", "installed"]
