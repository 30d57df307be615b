"""Whose transcript something is."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Any, Final, Literal

HOLDABLE: Final = re.compile("[^\x00\ud800-\udfff]{1,255}")
"""Names that databases hold."""
_ODD: Final = re.compile("[\x00\ud800-\udfff]")
_UUID: Final = re.compile(r"(?:.*[^0-9a-fA-F])?(?P<id>[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12})")


@dataclass(frozen=True)
class Identity:
    """Whose transcript a file is. Never made from the folder: files move."""

    session_id: str
    """The program's own id of the conversation."""
    parent_id: str | None = None
    relation: Literal["subagent", "fork", "resume", "review"] | None = None
    agent_id: str | None = None
    """Of a sub-agent."""


def held(identity: Identity | None) -> Identity | None:
    """Return whose a file is, by names that everything can hold: what is too long or odd has a hash in it."""
    if identity is None:
        return None
    parent, agent = identity.parent_id, identity.agent_id
    return replace(
        identity,
        session_id=held_name(identity.session_id),
        parent_id=None if parent is None else held_name(parent),
        agent_id=None if agent is None else held_name(agent),
    )


def held_name(name: str) -> str:
    """Return a name as it is, or one that everything can hold."""
    if HOLDABLE.fullmatch(name):
        return name
    told = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    return f"{_ODD.sub('', name)[:200]}-{told}"


def id_in_name(path: PurePath) -> str | None:
    """Return the id that a file's name ends with, for files that have lost their beginning."""
    found = _UUID.fullmatch(path.stem)
    return found["id"] if found else None


def id_in(head: Mapping[str, Any] | None, name: str) -> str | None:
    """Return an id that a record tells; ``None`` where there is none."""
    value = None if head is None else head.get(name)
    return value if isinstance(value, str) and value else None
