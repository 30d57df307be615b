"""What a receiver's answer means, and what of it may be kept.

Owns the reading of status, ``Retry-After`` and the first bytes of the body. Pure.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final

from minoots.contracts.deliveries import AttemptError

KEPT_BYTES: Final = 2048
MAX_RETRY_AFTER: Final = timedelta(hours=24)
"""The longest wait of the standard retry ladder; a receiver cannot postpone its own dead letter beyond it."""

# Postgres text holds no NUL, and a terminal that shows an attempt should not obey it.
_CONTROLS: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_SECONDS: Final = re.compile(r"[0-9]{1,15}")


def status_error(status: int) -> AttemptError | None:
    """Return why ``status`` is a failure, or ``None`` for 2xx."""
    if 200 <= status <= 299:
        return None
    if 300 <= status <= 399:
        return AttemptError.REDIRECT
    return AttemptError.GONE if status == 410 else AttemptError.STATUS


def status_detail(status: int) -> str | None:
    """Return ``status`` as a sentence, or ``None`` for 2xx."""
    match status_error(status):
        case None:
            return None
        case AttemptError.REDIRECT:
            return f"the receiver answered {status}; redirects are not followed: put the new url in"
        case AttemptError.GONE:
            return "the receiver answered 410: it wants nothing more"
        case _:
            return f"the receiver answered {status}; expected 2xx"


def readable(body: bytes) -> str:
    """Return the first 2 KiB of ``body`` as text that any database and terminal can hold.

    What is not UTF-8, and every control character but tab and line ends, becomes U+FFFD.
    """
    text = body[:KEPT_BYTES].decode("utf-8", "replace")
    if len(body) > KEPT_BYTES and text.endswith("�"):
        text = text[:-1]  # the cut went through a character
    return _CONTROLS.sub("�", text)


def shown(text: str) -> str:
    """Return the first 2 KiB of a text from elsewhere, as `readable` does."""
    return readable(text.encode("utf-8", "replace"))


def retry_after(value: str | None, now: datetime) -> timedelta | None:
    """Return the wait that a ``Retry-After`` header asks for, from 0 to 24 h.

    It may be seconds or an HTTP date. Garbage is ``None``.
    """
    if value is None:
        return None
    value = value.strip()
    if _SECONDS.fullmatch(value):
        seconds = int(value)
        return MAX_RETRY_AFTER if seconds >= MAX_RETRY_AFTER.total_seconds() else timedelta(seconds=seconds)
    try:
        moment = parsedate_to_datetime(value)
        wait = (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)) - now
    except (ValueError, TypeError, IndexError, OverflowError):
        return None  # a broken header is no reason to fail an attempt that has its answer
    return min(max(wait, timedelta(0)), MAX_RETRY_AFTER)
