"""What finds the text in a file: one class for each kind, found by entry point."""

from .extractor import Extracted, Extractor, Form, Unreadable
from .installed import installed, pick

__all__ = ["Extracted", "Extractor", "Form", "Unreadable", "installed", "pick"]
