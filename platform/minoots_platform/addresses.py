"""Which IP addresses a webhook may be sent to.

Owns the policy and nothing else: pure, no name resolution, no sockets. What is not known to be public unicast
is refused. The tables follow the IANA special-purpose registries (RFC 6890) and the metadata services of the
clouds; they stand here because ``ipaddress.is_global`` answers differently from one Python release to the
next.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

_Table: TypeAlias = tuple[tuple[Network, str], ...]


def _table(rows: Iterable[tuple[str, str]]) -> _Table:
    return tuple((ip_network(network), kind) for network, kind in rows)


# The first match names the kind, so single hosts stand before the networks that hold them.
_REFUSED_V4: Final = _table(
    [
        ("169.254.169.254/32", "metadata"),  # AWS, Azure, Google, and most others
        ("169.254.170.2/32", "metadata"),  # AWS ECS task credentials
        (
            "168.63.129.16/32",
            "metadata",
        ),  # Azure's wire server: public, but only a VM there reaches it
        ("100.100.100.200/32", "metadata"),  # Alibaba
        ("192.0.0.192/32", "metadata"),  # Oracle
        ("0.0.0.0/32", "unspecified"),
        ("0.0.0.0/8", "reserved"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "carrier-grade NAT"),
        ("127.0.0.0/8", "loopback"),
        ("169.254.0.0/16", "link-local"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "reserved"),
        ("192.0.2.0/24", "documentation"),
        ("192.88.99.0/24", "reserved"),  # 6to4 relays, withdrawn by RFC 7526
        ("192.168.0.0/16", "private"),
        ("198.18.0.0/15", "benchmarking"),
        ("198.51.100.0/24", "documentation"),
        ("203.0.113.0/24", "documentation"),
        ("224.0.0.0/4", "multicast"),
        ("255.255.255.255/32", "broadcast"),
        ("240.0.0.0/4", "reserved"),
    ]
)
_REFUSED_V6: Final = _table(
    [
        ("fd00:ec2::254/128", "metadata"),  # AWS
        ("fd20:ce::254/128", "metadata"),  # Google
        ("::/128", "unspecified"),
        ("::1/128", "loopback"),
        (
            "64:ff9b:1::/48",
            "private",
        ),  # local NAT64 (RFC 8215): where the IPv4 stands is not known
        ("2001:2::/48", "benchmarking"),
        ("2001:db8::/32", "documentation"),
        ("3fff::/20", "documentation"),
        ("2001::/23", "reserved"),
        ("fc00::/7", "private"),
        ("fe80::/10", "link-local"),
        ("fec0::/10", "private"),
        ("ff00::/8", "multicast"),
    ]
)
_GLOBAL_V6: Final = IPv6Network("2000::/3")

_MAPPED: Final = IPv6Network("::ffff:0:0/96")
_COMPATIBLE: Final = IPv6Network("::/96")
_NAT64: Final = IPv6Network("64:ff9b::/96")
_6TO4: Final = IPv6Network("2002::/16")
_TEREDO: Final = IPv6Network("2001::/32")
_LOW_32: Final = 0xFFFF_FFFF


def parse_address(text: str) -> Address | None:
    """Return the address that ``text`` spells, or ``None`` when it is a name.

    Only the canonical dotted form is an IPv4 address here. What C libraries also read (``2130706433``,
    ``0x7f.1``) is a name, and is judged by what the resolver makes of it. ``%25`` before a zone is read as
    ``%`` (RFC 6874).
    """
    try:
        return ip_address(text.replace("%25", "%", 1))
    except ValueError:
        return None


@dataclass(frozen=True)
class AddressPolicy:
    """Public unicast addresses, and those in ``allowed_networks``."""

    allowed_networks: tuple[Network, ...] = ()

    def refusal(self, address: Address) -> str | None:
        """Return what kind of address is refused (``"loopback"`` …), or ``None`` if it is allowed.

        An IPv6 address that carries an IPv4 address is judged by that one. A zone changes nothing.
        """
        if isinstance(address, IPv6Address) and address in _MAPPED:
            # The kernel opens an IPv4 connection for these: an allowed IPv4 network counts.
            return self.refusal(_low(address))
        if any(
            address.version == network.version and address in network for network in self.allowed_networks
        ):
            return None
        if isinstance(address, IPv4Address):
            return _first(_REFUSED_V4, address)
        carried = _carried(address)
        if not carried:
            return _first(_REFUSED_V6, address) or (None if address in _GLOBAL_V6 else "reserved")
        # A gateway elsewhere unpacks these. Its 10.0.0.0/8 is not the one that the settings mean, so here
        # an allowed IPv4 network does not count; the IPv6 form must be allowed itself.
        return next((kind for inner in carried if (kind := _first(_REFUSED_V4, inner))), None)


def _first(table: _Table, address: Address) -> str | None:
    return next((kind for network, kind in table if address in network), None)


def _low(address: IPv6Address) -> IPv4Address:
    return IPv4Address(int(address) & _LOW_32)


def _carried(address: IPv6Address) -> tuple[IPv4Address, ...]:
    number = int(address)
    if address in _NAT64 or (address in _COMPATIBLE and number > 1):
        return (_low(address),)
    if address in _6TO4:
        return (IPv4Address(number >> 80 & _LOW_32),)
    if address in _TEREDO:
        # The server in clear, the client with every bit turned (RFC 4380).
        return (IPv4Address(number >> 64 & _LOW_32), IPv4Address(~number & _LOW_32))
    return ()
