"""API keys: 256 random bits behind a prefix. Only their hash is kept."""

from __future__ import annotations

import hashlib
import re
import secrets
from typing import Final

PREFIX: Final = "mnt_"
HASH_LENGTH: Final = 64
_FORM: Final = re.compile(r"^mnt_[A-Za-z0-9_-]{43}$")


def new_key() -> str:
    """Return a new key. It is shown once and never kept."""
    return PREFIX + secrets.token_urlsafe(32)


def hash_key(key: str) -> str | None:
    """Return what is kept of a key, or ``None`` when it does not have the form of one.

    SHA-256 without salt or stretching: the key is random, so there is nothing to guess.
    """
    return hashlib.sha256(key.encode()).hexdigest() if _FORM.match(key) else None


def hint_of(key: str) -> str:
    """Return the beginning of a key, by which a person recognises it."""
    return key[:9] + "…"
