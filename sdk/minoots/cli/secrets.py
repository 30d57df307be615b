"""``minoots secrets``: what webhooks are signed with."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from minoots.contracts.secrets import SecretCreated

from . import output
from .moments import local
from .session import Session, group, remote

app = group("Make and rotate the secrets that sign webhooks.")

SecretName = Annotated[str, typer.Argument(metavar="NAME", help="Name of the secret.", show_default=False)]


@remote(app)
def create(session: Session, name: SecretName) -> None:
    """Make a secret and show its key, this once."""
    _show_created(session, session.client.secrets.create(name))


@remote(app, "list")
def list_secrets(session: Session) -> None:
    """List the secrets and their versions, without keys."""
    found = session.client.secrets.list()
    if session.json:
        for secret in found:
            output.json_line(secret)
        return
    now = datetime.now(UTC)
    rows = [
        (
            secret.name,
            version.version,
            local(version.created_at, now),
            local(version.expires_at, now),
            version.public_key,
        )
        for secret in found
        for version in secret.versions
    ]
    output.table(("NAME", "VERSION", "CREATED", "SIGNS UNTIL", "PUBLIC KEY"), rows)


@remote(app)
def rotate(
    session: Session,
    name: SecretName,
    overlap: Annotated[str | None, typer.Option(help="How long the old version signs too: 24h.")] = None,
) -> None:
    """Make a new version of a secret and show its key, this once."""
    _show_created(session, session.client.secrets.rotate(name, overlap=overlap))


def _show_created(session: Session, secret: SecretCreated) -> None:
    if session.json:
        output.json_line(secret)
        return
    newest = max(secret.versions, key=lambda version: version.version, default=None)
    output.fields(
        (
            ("name", secret.name),
            ("version", newest and newest.version),
            ("key", secret.key),
            ("public key", newest and newest.public_key),
        )
    )
    output.line("The key is shown this once; keep it where the receiver can read it.")
