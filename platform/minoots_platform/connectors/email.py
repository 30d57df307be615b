"""E-mail by SMTP."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field

from minoots.contracts.base import Matching, Part
from minoots_platform.settings import Settings

from .spec import ConnectorSpec, Refusal

ADDRESS_PATTERN: Final = r"^[^\s@<>,;:\"()\[\]\\]{1,64}@[A-Za-z0-9.-]{1,253}$"
Address = Annotated[str, Matching(ADDRESS_PATTERN, "an e-mail address, such as ada@example.com")]


class Email(Part):
    """Send a mail."""

    to: Annotated[tuple[Address, ...], Field(min_length=1, max_length=16)]
    subject: (
        Annotated[str, Field(min_length=1, max_length=200), Matching(r"^[^\r\n]*$", "one line")] | None
    ) = None
    """The timer's name, if not given."""
    text: Annotated[str, Field(max_length=10_000)] | None = None
    """What stands before the payload."""


def _missing(settings: Settings) -> str | None:
    email = settings.connectors.email
    if email.host is None or email.sender is None:
        return "Whoever runs the service sets connectors.email.host and connectors.email.sender."
    return None


def _refusal(settings: Settings, config: Email) -> Refusal | None:
    domains = {domain.lower() for domain in settings.connectors.email.domains}
    if not domains or all(address.rpartition("@")[2].lower() in domains for address in config.to):
        return None
    return Refusal("to", f"addresses at {', '.join(sorted(domains))}")


SPEC: Final = ConnectorSpec(
    kind="email",
    title="E-mail by SMTP",
    config=Email,
    sender="minoots_activities.connectors.email:Emails",
    missing=_missing,
    refusal=_refusal,
    watched=True,
    destination=lambda config: f"email:{', '.join(config['to'])}",
)
