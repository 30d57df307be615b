"""Ports: refused when taken or asked for twice, never given to two parts."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from minoots_workers.embedded.faults import PORT_IN_USE, TEMPORAL_UNREACHABLE, StackFault
from minoots_workers.embedded.ports import free_ports, listen_anywhere, require_reachable


@pytest.fixture
def claims() -> Iterator[ExitStack]:
    with ExitStack() as claims:
        yield claims


def test_free_ports_are_all_different(claims: ExitStack) -> None:
    ports = free_ports([(0, "")] * 50, claims)
    assert len(set(ports)) == 50


def test_a_free_port_is_none_that_outgoing_connections_get(claims: ExitStack) -> None:
    assert all(20_000 <= port < 32_000 for port in free_ports([(0, "")] * 20, claims))


def test_a_port_that_is_taken_is_refused_with_its_flag(claims: ExitStack) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StackFault, match=f"port {port}(?s:.*)--ui-port") as fault:
            free_ports([(port, "--ui-port")], claims)
    assert fault.value.code == PORT_IN_USE


def test_one_port_for_two_parts_is_refused_with_the_second_flag(claims: ExitStack) -> None:
    [port] = free_ports([(0, "")], claims)
    with pytest.raises(StackFault, match="--ui-port") as fault:
        free_ports([(port, "--temporal-port"), (port, "--ui-port")], claims)
    assert fault.value.code == PORT_IN_USE
    assert free_ports([(port, "")], claims) == [port], "nothing is held afterwards"


def test_a_port_that_a_stack_has_found_is_no_other_s_before_anybody_listens_there(
    claims: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    [port, other] = free_ports([(0, ""), (0, "")], claims)
    monkeypatch.setattr(random, "sample", lambda *_: [port, other])
    with listen_anywhere() as refused, ExitStack() as later:
        assert refused.getsockname()[1] not in (port, other)
        claims.close()
        assert set(free_ports([(0, ""), (0, "")], later)) == {port, other}


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nonsense", "127.0.0.1:port"])
def test_an_address_where_nobody_listens_is_refused(address: str) -> None:
    with pytest.raises(StackFault, match=address) as fault:
        require_reachable(address)
    assert fault.value.code == TEMPORAL_UNREACHABLE
