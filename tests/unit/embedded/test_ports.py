"""Ports: refused when taken or asked for twice, never given to two parts."""

from __future__ import annotations

import socket

import pytest

from minoots_workers.embedded.faults import PORT_IN_USE, TEMPORAL_UNREACHABLE, StackFault
from minoots_workers.embedded.ports import free_ports, require_reachable


def test_free_ports_are_all_different() -> None:
    ports = free_ports([(0, "")] * 50)
    assert len(set(ports)) == 50


def test_a_free_port_is_none_that_outgoing_connections_get() -> None:
    assert all(20_000 <= port < 32_000 for port in free_ports([(0, "")] * 20))


def test_a_port_that_is_taken_is_refused_with_its_flag() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StackFault, match=f"port {port}(?s:.*)--ui-port") as fault:
            free_ports([(port, "--ui-port")])
    assert fault.value.code == PORT_IN_USE


def test_one_port_for_two_parts_is_refused_with_the_second_flag() -> None:
    [port] = free_ports([(0, "")])
    with pytest.raises(StackFault, match="--ui-port") as fault:
        free_ports([(port, "--temporal-port"), (port, "--ui-port")])
    assert fault.value.code == PORT_IN_USE
    assert free_ports([(port, "")]) == [port], "nothing is held afterwards"


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nonsense", "127.0.0.1:port"])
def test_an_address_where_nobody_listens_is_refused(address: str) -> None:
    with pytest.raises(StackFault, match=address) as fault:
        require_reachable(address)
    assert fault.value.code == TEMPORAL_UNREACHABLE
