"""Signing secrets on the wire. Key material is answered once, by the call that made it."""

from __future__ import annotations

from datetime import timedelta

from .actions import SecretName
from .base import Duration, Instant, Request, View


class SecretCreate(Request):
    """A signing secret to make."""

    name: SecretName


class SecretRotate(Request):
    """Make a new version; the old one signs too until ``overlap`` has passed."""

    overlap: Duration = timedelta(hours=24)


class SecretVersion(View):
    """One version of a secret, without its key."""

    version: int
    public_key: str
    """For ``v1a`` (Ed25519): ``whpk_`` and base64."""
    created_at: Instant
    expires_at: Instant | None = None
    """When it stops signing; absent for the newest."""


class Secret(View):
    """A secret and the versions that sign now."""

    name: str
    versions: tuple[SecretVersion, ...]


class SecretCreated(Secret):
    """A secret with the key of its newest version. It is shown this once."""

    key: str
    """For ``v1`` (HMAC-SHA256): ``whsec_`` and base64."""
