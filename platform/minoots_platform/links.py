"""Links by which somebody who was told acknowledges without a key.

A link names the notice that carried it and ends after a while; whether it was used is in the records. It is
the same for every attempt to deliver the notice.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from minoots.errors import Failure, FailureKind

from .vault import Vault

LIFETIME: Final = timedelta(days=7)
_PURPOSE: Final = "acknowledge"
_SIGNATURE: Final = 32


@dataclass(frozen=True)
class Link:
    """What a link says."""

    timer_id: str
    """Of the notice."""
    expires_at: datetime


class Links:
    """Makes links and reads them back."""

    def __init__(self, vault: Vault, base: str) -> None:
        self._vault = vault
        self._base = base.rstrip("/")

    def url(self, timer_id: str, due_at: datetime) -> str:
        """Return the link of the notice that is due at ``due_at``."""
        said = f"{timer_id}.{int((due_at + LIFETIME).timestamp())}".encode()
        token = base64.urlsafe_b64encode(self._vault.sign(_PURPOSE, said) + said).decode().rstrip("=")
        return f"{self._base}/acknowledge/{token}"

    def read(self, token: str, now: datetime) -> Link:
        """Return what the last part of a link says.

        Raises:
            Failure: not_found, for one that was not made here; conflict, when it has expired.
        """
        try:
            raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
            signature, said = raw[:_SIGNATURE], raw[_SIGNATURE:]
            timer_id, _, until = said.decode("ascii").partition(".")
            if not self._vault.has_signed(_PURPOSE, said, signature):
                raise ValueError("not signed by us")
            expires_at = datetime.fromtimestamp(int(until), UTC)
        except ValueError as error:
            raise Failure(
                FailureKind.NOT_FOUND, "there is no such link", remedy="Copy the whole of it."
            ) from error
        if now >= expires_at:
            raise Failure(
                FailureKind.CONFLICT,
                f"this link expired at {expires_at.isoformat(timespec='seconds')}",
                remedy="Acknowledge by POST /v1/escalations/{id}/acknowledge, with a key.",
            )
        return Link(timer_id, expires_at)
