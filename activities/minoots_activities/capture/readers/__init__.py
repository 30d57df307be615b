"""What is particular to each agent's transcripts: where they are, whose they are, what their records mean."""

from .installed import installed
from .reader import Blob, Draft, Identity, Parsed, Parser, Reader

__all__ = ["Blob", "Draft", "Identity", "Parsed", "Parser", "Reader", "installed"]
