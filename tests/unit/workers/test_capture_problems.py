"""What `minoots status` says is wrong with capture."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from minoots.contracts.sessions import CaptureHost, CaptureStatus
from minoots_platform.settings import CaptureSettings
from minoots_workers.embedded.capture_problems import problems_of

NOW = datetime(2026, 7, 1, 10, tzinfo=UTC)
DATA = Path("/data")


def host(*, alive: bool = True, **status: Any) -> CaptureHost:
    return CaptureHost(host="ada", version="1", started_at=NOW, seen_at=NOW, alive=alive, status=status)


def status(*hosts: CaptureHost) -> CaptureStatus:
    return CaptureStatus(
        at=NOW, hosts=hosts, sessions=0, events=0, recordings={}, recording=(), troubled=(), recent=()
    )


def test_nothing_is_wrong_where_somebody_captures_or_nobody_should() -> None:
    assert problems_of(CaptureSettings(enabled=True), status(host()), DATA) == []
    assert problems_of(CaptureSettings(), status(), DATA) == []


def test_it_is_told_when_nobody_captures() -> None:
    for hosts in ([], [host(alive=False)]):
        [told] = problems_of(CaptureSettings(enabled=True), status(*hosts), DATA)
        assert "nobody captures" in told
        assert "/data/logs/watch.log" in told


def test_it_is_told_when_it_captures_for_others_than_who_asks() -> None:
    capture = CaptureSettings(enabled=True, tenant="acme")
    [told] = problems_of(capture, status(), DATA)
    assert "captures for acme" in told
    assert problems_of(capture, status(host()), DATA, keyed=True) == []


def test_what_is_wrong_with_a_host_and_its_workspaces_is_told_once() -> None:
    one = host(problem="no events of files: x", workspaces=["no events of files: x", "y"])
    told = problems_of(CaptureSettings(), status(one), DATA)
    assert told == ["ada: no events of files: x", "ada: y"]
