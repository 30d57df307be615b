"""The port of an extractor: bytes in, text out, with what the file says of itself.

Pure, and run in a process of its own: it may be slow, greedy or stuck, and is ended from outside then.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar


class Form(StrEnum):
    """How the text that an extractor returns is built."""

    PLAIN = "plain"
    """Paragraphs, with empty lines between them."""
    MARKDOWN = "markdown"
    LINES = "lines"
    """Records, one a line."""
    PAGES = "pages"
    """Pages, each of plain text, with form feeds between them."""


class Unreadable(Exception):
    """There is no text to be had from these bytes.

    Attributes:
        problem: what is wrong, for people.
        remedy: what to do about it.
    """

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(problem, remedy)
        self.problem = problem
        self.remedy = remedy


@dataclass(frozen=True)
class Extracted:
    """What was found in a file.

    Attributes:
        text: all of it.
        form: how that is built.
        title: what the file calls itself.
        found: what else it says of itself, as JSON.
    """

    text: str
    form: Form
    title: str | None = None
    found: Mapping[str, Any] = field(default_factory=dict)


class Extractor(ABC):
    """Finds the text in files of one kind."""

    name: ClassVar[str]
    version: ClassVar[int]
    """Rises whenever it finds something else in the same bytes: they are read anew then."""
    media_types: ClassVar[frozenset[str]]
    suffixes: ClassVar[frozenset[str]]
    """Of names, in small letters: ``.pdf``."""

    def knows(self, head: bytes) -> bool:
        """Tell whether a file that begins like this is certainly of this kind."""
        return False

    @abstractmethod
    def read(self, data: bytes) -> Extracted:
        """Return what is in a file.

        Raises:
            Unreadable: when that is nothing.
        """
