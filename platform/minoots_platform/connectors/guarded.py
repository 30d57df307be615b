"""Addresses in the configs of connectors: what can be refused before any name is resolved."""

from __future__ import annotations

import httpx

from minoots_platform.addresses import AddressPolicy, parse_address
from minoots_platform.settings import Settings


def refused_address(settings: Settings, url: str) -> tuple[str, str] | None:
    """Return what was expected of the field ``url``, or ``None``. Names are judged when they are resolved."""
    try:
        host = httpx.URL(url).host
    except (httpx.InvalidURL, UnicodeError):
        return "url", "a host that can be written in a request"
    address = parse_address(host)
    policy = AddressPolicy(tuple(settings.delivery.allowed_networks))
    refusal = None if address is None else policy.refusal(address)
    return None if refusal is None else ("url", f"an address that is not {refusal}")
