"""Names to addresses that may be connected to: resolved once, judged as a whole.

Owns the one check that everything shares which connects on behalf of strangers. Whoever is given addresses
connects to these and to no second answer, so that none could differ from what was checked.
"""

from __future__ import annotations

from typing import Final

from minoots_platform.addresses import Address, AddressPolicy, parse_address

from .faults import AddressRefused, NameNotFound
from .names import Resolver

_MAX_ADDRESSES: Final = 8


async def checked_addresses(
    host: str, port: int, policy: AddressPolicy, resolver: Resolver, *, setting: str
) -> list[Address]:
    """Return the addresses of ``host``, best first, all of which the policy allows.

    Args:
        host: a name or an address.
        port: where it is to be connected to.
        policy: which addresses may be.
        resolver: who knows names.
        setting: which setting allows more networks, for the error.

    Raises:
        NameNotFound: it has none.
        AddressRefused: one of them may not be connected to.
    """
    literal = parse_address(host)
    if literal is not None:
        found: list[Address | None] = [literal]
    else:
        try:
            found = [parse_address(text) for text in await resolver(host, port)]
        except (OSError, UnicodeError) as error:
            raise NameNotFound(f"the name {host} cannot be resolved") from error
    addresses = [address for address in found if address is not None]
    if not addresses or len(addresses) != len(found):
        raise NameNotFound(f"the name {host} has no address")
    for address in addresses:
        kind = policy.refusal(address)
        if kind is not None:
            # As a whole: an answer that mixes public and forbidden addresses is a rebinding attempt.
            raise AddressRefused(
                f"{host} is at a {kind} address, which is not allowed; "
                f"to allow it, add its network to {setting}"
            )
    return addresses[:_MAX_ADDRESSES]
