"""What can be wrong with a template. Apart from `templates`, which loads the library."""

from __future__ import annotations


class TemplateFault(ValueError):
    """A template that is none, or that cannot be filled in."""
