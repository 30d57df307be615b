"""The address policy, row by row."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minoots_platform.addresses import AddressPolicy, parse_address

STRICT = AddressPolicy()

REFUSED = [
    ("0.0.0.0", "unspecified"),  # noqa: S104 - an address to refuse
    ("0.0.0.1", "reserved"),
    ("10.0.0.0", "private"),
    ("10.255.255.255", "private"),
    ("100.64.0.1", "carrier-grade NAT"),
    ("100.127.255.255", "carrier-grade NAT"),
    ("100.100.100.200", "metadata"),
    ("127.0.0.1", "loopback"),
    ("127.255.255.254", "loopback"),
    ("168.63.129.16", "metadata"),
    ("169.254.0.1", "link-local"),
    ("169.254.169.254", "metadata"),
    ("169.254.170.2", "metadata"),
    ("172.16.0.1", "private"),
    ("172.31.255.255", "private"),
    ("192.0.0.8", "reserved"),
    ("192.0.0.192", "metadata"),
    ("192.0.2.1", "documentation"),
    ("192.88.99.1", "reserved"),
    ("192.168.0.1", "private"),
    ("198.18.0.1", "benchmarking"),
    ("198.19.255.255", "benchmarking"),
    ("198.51.100.1", "documentation"),
    ("203.0.113.1", "documentation"),
    ("224.0.0.1", "multicast"),
    ("239.255.255.255", "multicast"),
    ("240.0.0.1", "reserved"),
    ("255.255.255.255", "broadcast"),
    ("::", "unspecified"),
    ("::1", "loopback"),
    ("::2", "reserved"),
    ("100::1", "reserved"),
    ("64:ff9b:1::1", "private"),
    ("2001:2::1", "benchmarking"),
    ("2001:10::1", "reserved"),
    ("2001:20::1", "reserved"),
    ("2001:db8::1", "documentation"),
    ("3fff:fff::1", "documentation"),
    ("4000::1", "reserved"),
    ("5f00::1", "reserved"),
    ("fc00::1", "private"),
    ("fd00::1", "private"),
    ("fd00:ec2::254", "metadata"),
    ("fd20:ce::254", "metadata"),
    ("fe80::1", "link-local"),
    ("fe80::1%eth0", "link-local"),
    ("febf::1", "link-local"),
    ("fec0::1", "private"),
    ("ff02::1", "multicast"),
    # The IPv4 address inside decides.
    ("::ffff:127.0.0.1", "loopback"),
    ("::ffff:127.0.0.1%1", "loopback"),
    ("::ffff:10.0.0.1", "private"),
    ("::ffff:169.254.169.254", "metadata"),
    ("::ffff:0:127.0.0.1", "reserved"),  # "translated", RFC 2765
    ("::127.0.0.1", "loopback"),
    ("::10.0.0.1", "private"),
    ("64:ff9b::127.0.0.1", "loopback"),
    ("64:ff9b::a9fe:a9fe", "metadata"),
    ("2002:7f00:1::", "loopback"),
    ("2002:a9fe:a9fe::1", "metadata"),
    ("2002:c0a8:101::1", "private"),
    ("2001:0:7f00:1::", "loopback"),  # Teredo: the server
    ("2001:0:808:808::80ff:fffe", "loopback"),  # Teredo: the client, every bit of 127.0.0.1 turned
]

ALLOWED = [
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.1",
    "169.253.255.255",
    "169.255.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "192.167.255.255",
    "192.169.0.0",
    "198.17.255.255",
    "198.20.0.0",
    "223.255.255.255",
    "2001:200::1",
    "2001:4860:4860::8888",
    "2606:4700::1111",
    "2a00::1",
    "3ffe::1",
    "::ffff:8.8.8.8",
    "64:ff9b::8.8.8.8",
    "2002:808:808::1",
]


@pytest.mark.parametrize(("text", "kind"), REFUSED)
def test_it_is_refused(text: str, kind: str) -> None:
    assert STRICT.refusal(ip_address(text)) == kind


@pytest.mark.parametrize("text", ALLOWED)
def test_it_is_public(text: str) -> None:
    assert STRICT.refusal(ip_address(text)) is None


@given(st.ip_addresses(v=4))
def test_what_python_calls_no_global_address_is_never_allowed(address: IPv4Address) -> None:
    if not address.is_global or address.is_multicast:
        assert STRICT.refusal(address) is not None


@given(st.ip_addresses(v=4))
def test_wrapping_an_address_never_opens_a_door(address: IPv4Address) -> None:
    kind = STRICT.refusal(address)
    number = int(address)
    mapped = IPv6Address(0xFFFF << 32 | number)
    nat64 = IPv6Address(0x64_FF9B << 96 | number)
    six_to_four = IPv6Address(0x2002 << 112 | number << 80 | 1)
    teredo = IPv6Address(0x2001_0000 << 96 | 0x0808_0808 << 64 | (number ^ 0xFFFF_FFFF))
    assert [STRICT.refusal(each) for each in (mapped, nat64, six_to_four, teredo)] == [kind] * 4
    if number > 1:
        assert STRICT.refusal(IPv6Address(number)) == kind


@given(st.ip_addresses(v=6))
def test_outside_of_global_unicast_only_a_wrapped_public_address_is_allowed(address: IPv6Address) -> None:
    if STRICT.refusal(address) is None and int(address) >> 125 != 1:
        assert STRICT.refusal(IPv4Address(int(address) & 0xFFFF_FFFF)) is None


def test_an_allowed_network_opens_itself_and_nothing_else() -> None:
    policy = AddressPolicy((ip_network("127.0.0.0/8"), ip_network("fd12::/16")))
    assert policy.refusal(ip_address("127.0.0.1")) is None
    assert policy.refusal(ip_address("::ffff:127.0.0.1")) is None
    assert policy.refusal(ip_address("fd12::1")) is None
    assert policy.refusal(ip_address("::1")) == "loopback"
    assert policy.refusal(ip_address("10.0.0.1")) == "private"
    assert policy.refusal(ip_address("fd13::1")) == "private"


def test_an_allowed_network_here_says_nothing_of_the_far_end_of_a_gateway() -> None:
    policy = AddressPolicy((ip_network("10.0.0.0/8"),))
    assert policy.refusal(ip_address("64:ff9b::10.0.0.1")) == "private"
    explicit = AddressPolicy((ip_network("64:ff9b::/96"),))
    assert explicit.refusal(ip_address("64:ff9b::10.0.0.1")) is None


@pytest.mark.parametrize(
    "text",
    [
        "2130706433",
        "0x7f.1",
        "0x7f000001",
        "0177.0.0.1",
        "127.1",
        "017700000001",
        "localhost",
        "localhost.",
        "",
        "a b",
    ],
)
def test_other_spellings_are_names_for_the_resolver_to_read(text: str) -> None:
    assert parse_address(text) is None


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("::ffff:127.0.0.1", "::ffff:7f00:1"),
        ("fe80::1%eth0", "fe80::1%eth0"),
        ("fe80::1%25eth0", "fe80::1%eth0"),
    ],
)
def test_canonical_spellings_are_addresses(text: str, address: str) -> None:
    assert parse_address(text) == ip_address(address)
