"""Which hosts a sandbox may reach: patterns of jobs, within those of the operator.

Pure: no name is resolved here. What a name's addresses may be is the gate's to judge.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

USUAL_PORTS: Final = frozenset({80, 443})
"""Those of a pattern that names none."""


@dataclass(frozen=True)
class Pattern:
    """One pattern: ``example.org``, ``*.example.org``, ``*``, each with or without a port."""

    host: str
    ports: frozenset[int]

    @classmethod
    def parse(cls, text: str) -> Pattern:
        """Read a pattern as the contract allows it."""
        host, separator, port = text.rpartition(":")
        if not separator or text.endswith("]"):
            return cls(plain(text), USUAL_PORTS)
        return cls(plain(host), frozenset({int(port)}))

    def has(self, host: str, port: int) -> bool:
        """Tell whether a host, or another pattern's host, is one of these at this port."""
        if port not in self.ports:
            return False
        if self.host == "*":
            return True
        if self.host.startswith("*."):
            # With the dot: badexample.org is not below example.org. What is below may be a pattern itself.
            return host == self.host or (host != "*" and host.endswith(self.host[1:]))
        return host == self.host


@dataclass(frozen=True)
class Rules:
    """Patterns, of which one has to fit."""

    patterns: tuple[Pattern, ...]

    @classmethod
    def parse(cls, texts: Iterable[str]) -> Rules:
        """Read patterns."""
        return cls(tuple(Pattern.parse(text) for text in texts))

    def allow(self, host: str, port: int) -> bool:
        """Tell whether this host may be reached at this port."""
        name = plain(host)
        return "*" not in name and any(pattern.has(name, port) for pattern in self.patterns)

    def beyond(self, most: Rules) -> list[str]:
        """Return what of these is not within ``most``, each as ``host:port``."""
        return [
            f"{pattern.host}:{port}"
            for pattern in self.patterns
            for port in sorted(pattern.ports)
            if not any(other.has(pattern.host, port) for other in most.patterns)
        ]


def plain(host: str) -> str:
    """Return a host as it is compared: lower case, without the dot that ends a full name, and brackets."""
    return host.strip("[]").lower().removesuffix(".")
