"""Addresses in the configs of connectors: what can be refused before any name is resolved."""

from __future__ import annotations

from typing import Final

import httpx

from minoots_platform.addresses import AddressPolicy, parse_address
from minoots_platform.settings import Settings

from .spec import Refusal

_REMEDY: Final = (
    "Give a public address; whoever runs the service may allow others in delivery.allowed_networks."
)


def refused_address(settings: Settings, url: str) -> Refusal | None:
    """Return what was expected of the field ``url``, or ``None``. Names are judged when they are resolved."""
    try:
        host = httpx.URL(url).host
    except (httpx.InvalidURL, UnicodeError):
        return Refusal("url", "a host that can be written in a request")
    address = parse_address(host)
    policy = AddressPolicy(tuple(settings.delivery.allowed_networks))
    refusal = None if address is None else policy.refusal(address)
    return None if refusal is None else Refusal("url", f"an address that is not {refusal}", _REMEDY)
