"""Pages of a list."""

from __future__ import annotations

from typing import Generic, TypeVar

from .base import View

T = TypeVar("T")


class Page(View, Generic[T]):
    """Some items and where to go on."""

    items: tuple[T, ...]
    next_cursor: str | None = None
    """Send it as ``cursor`` for the next page; absent on the last one."""
