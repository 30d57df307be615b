"""Signatures of outgoing webhooks, by the Standard Webhooks scheme (https://www.standardwebhooks.com).

Owns keys and what is signed: ``webhook-id``, ``webhook-timestamp`` and the exact bytes of the body. Does no
I/O, reads no clock, and never shows a key but where it is asked for by name.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from minoots.errors import Failure, FailureKind

KEY_BYTES: Final = 32
_LAYOUT: Final = b"\x01"
"""First byte of a stored key, so that a later layout can be told apart."""

# No dot: the signed text is id.timestamp.body, and an id with a dot could move the border between them.
_WEBHOOK_ID: Final = re.compile(r"[A-Za-z0-9_:-]{1,128}")


@dataclass(frozen=True)
class SigningKey:
    """One version of a signing secret: an HMAC key for ``v1`` and an Ed25519 seed for ``v1a``."""

    hmac_key: bytes = field(repr=False)
    seed: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.hmac_key) != KEY_BYTES or len(self.seed) != KEY_BYTES:
            raise ValueError(
                f"expected two keys of {KEY_BYTES} bytes; got {len(self.hmac_key)} and {len(self.seed)} bytes"
            )

    @classmethod
    def generate(cls) -> Self:
        """Return a new random key."""
        return cls(secrets.token_bytes(KEY_BYTES), secrets.token_bytes(KEY_BYTES))

    @classmethod
    def from_bytes(cls, stored: bytes) -> Self:
        """Return the key that `to_bytes` gave.

        Raises:
            Failure: ``UNAVAILABLE`` for anything else. The text does not quote it.
        """
        if len(stored) != len(_LAYOUT) + 2 * KEY_BYTES or not stored.startswith(_LAYOUT):
            raise Failure(
                FailureKind.UNAVAILABLE,
                f"a stored signing key is damaged: expected {len(_LAYOUT) + 2 * KEY_BYTES} bytes of layout "
                f"{_LAYOUT[0]}; got {len(stored)} bytes",
                remedy="rotate the secret and give its new key to the receiver",
            )
        start = len(_LAYOUT)
        return cls(stored[start : start + KEY_BYTES], stored[start + KEY_BYTES :])

    def to_bytes(self) -> bytes:
        """Return the key for the vault: 65 bytes of key material."""
        return _LAYOUT + self.hmac_key + self.seed

    @property
    def secret(self) -> str:
        """The key with which a receiver verifies ``v1``: ``whsec_`` and base64. Show it once."""
        return "whsec_" + b64encode(self.hmac_key).decode("ascii")

    @property
    def public_key(self) -> str:
        """The key with which a receiver verifies ``v1a``: ``whpk_`` and base64. It is no secret."""
        public = Ed25519PrivateKey.from_private_bytes(self.seed).public_key()
        return "whpk_" + b64encode(public.public_bytes(Encoding.Raw, PublicFormat.Raw)).decode("ascii")


def sign(webhook_id: str, timestamp: datetime, body: bytes, keys: Sequence[SigningKey]) -> str:
    """Return the value of ``webhook-signature``: ``v1,…`` and ``v1a,…`` of every key, separated by spaces.

    Raises:
        ValueError: without a key (nothing leaves unsigned), for an id with characters that would make the
        signed
            text ambiguous, or for a naive timestamp.
    """
    if not keys:
        raise ValueError("expected at least one signing key; got none")
    signed = _signed_text(webhook_id, timestamp, body)
    symmetric = [b64encode(hmac.digest(key.hmac_key, signed, hashlib.sha256)).decode("ascii") for key in keys]
    asymmetric = [
        b64encode(Ed25519PrivateKey.from_private_bytes(key.seed).sign(signed)).decode("ascii") for key in keys
    ]
    # All v1 first: simple receivers look at the first signature only, and it should be one that they can
    # check.
    return " ".join([*(f"v1,{value}" for value in symmetric), *(f"v1a,{value}" for value in asymmetric)])


def signature_headers(
    webhook_id: str, timestamp: datetime, body: bytes, keys: Sequence[SigningKey]
) -> dict[str, str]:
    """Return the three headers of Standard Webhooks for one attempt at ``timestamp``.

    Raises:
        ValueError: as `sign` does.
    """
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(_seconds(timestamp)),
        "webhook-signature": sign(webhook_id, timestamp, body, keys),
    }


def _signed_text(webhook_id: str, timestamp: datetime, body: bytes) -> bytes:
    if not _WEBHOOK_ID.fullmatch(webhook_id):
        raise ValueError(
            f"expected a webhook id of 1 to 128 letters, digits and _ : -; got {webhook_id[:140]!r}"
        )
    return b"%s.%d.%s" % (webhook_id.encode("ascii"), _seconds(timestamp), body)


def _seconds(timestamp: datetime) -> int:
    if timestamp.utcoffset() is None:
        raise ValueError("expected a timestamp with an offset; got a naive one")
    # Floor, not round: a signature from the future is refused by receivers without tolerance.
    return int(timestamp.timestamp() // 1)
