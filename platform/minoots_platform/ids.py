"""Public ids: a prefix that tells the kind, and a ULID that sorts by the time of making."""

from __future__ import annotations

import hashlib
import re
from datetime import datetime
from typing import Final, Literal

from ulid import ULID

Prefix = Literal[
    "tmr",
    "sch",
    "pln",
    "esc",
    "cmd",
    "lse",
    "dlv",
    "rpl",
    "evt",
    "dst",
    "key",
    "req",
    "cnv",
    "chk",
    "rec",
    "ing",
    "src",
    "use",
    "job",
    "sbx",
]

ULID_PATTERN: Final = "[0-7][0-9A-HJKMNP-TV-Z]{25}"
TENANT_PATTERN: Final = r"^[a-z0-9][a-z0-9_-]{0,62}\Z"


def new_id(prefix: Prefix, now: datetime) -> str:
    """Return a new id such as ``tmr_01JD3…``."""
    return f"{prefix}_{ULID.from_datetime(now)}"


def derived_id(prefix: Prefix, *of: str) -> str:
    """Return the id of something that is known by other names: the same names give the same id."""
    told = hashlib.sha256("\x1f".join(of).encode()).digest()
    return f"{prefix}_{ULID.from_bytes(told[:16])}"


def is_id(text: str, prefix: Prefix) -> bool:
    """Tell whether ``text`` has the form of an id of this kind."""
    return re.fullmatch(f"{prefix}_{ULID_PATTERN}", text) is not None
