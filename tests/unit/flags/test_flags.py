"""Feature flags: what the gateway asks, against real flag files."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from minoots_platform.flags import Flags
from minoots_platform.settings import FlagsSettings, Settings


def _document(*, state: str = "ENABLED", default: str = "on", targeting: dict[str, Any] | None = None) -> str:
    flag = {
        "state": state,
        "variants": {"on": True, "off": False},
        "defaultVariant": default,
        "targeting": targeting or {},
    }
    return json.dumps({"flags": {"timers.accept": flag}})


def _write(path: Path, text: str) -> None:
    path.write_text(text)


def _replace(path: Path, text: str) -> None:
    # As an editor or a config map does it; the watcher must never see half a file.
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    before = path.stat().st_mtime_ns if path.exists() else 0
    os.utime(fresh, ns=(before + 10**9, before + 10**9))
    fresh.replace(path)


def _settings(path: Path) -> Settings:
    return Settings(flags=FlagsSettings(path=path, poll_ms=20))


async def _until(flags: Flags, tenant: str, expected: bool) -> None:
    deadline = time.monotonic() + 20
    while await flags.timers_accepted(tenant) is not expected:
        assert time.monotonic() < deadline, f"timers.accept of {tenant} never became {expected}"
        await asyncio.sleep(0.01)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "flags.json"


@pytest.fixture
def opened() -> Iterator[list[Flags]]:
    flags: list[Flags] = []
    yield flags
    for one in flags:
        one.close()


async def test_timers_are_accepted_without_any_source(tmp_path: Path, opened: list[Flags]) -> None:
    opened.append(Flags(Settings(data_dir=tmp_path)))
    assert await opened[0].timers_accepted("acme") is True


async def test_the_file_in_the_data_dir_is_found(tmp_path: Path, path: Path, opened: list[Flags]) -> None:
    _write(path, _document(default="off"))
    opened.append(Flags(Settings(data_dir=tmp_path)))
    assert await opened[0].timers_accepted("acme") is False


async def test_a_changed_file_takes_effect_without_restart(path: Path, opened: list[Flags]) -> None:
    _write(path, _document(default="on"))
    opened.append(Flags(_settings(path)))
    assert await opened[0].timers_accepted("acme") is True
    _replace(path, _document(default="off"))
    await _until(opened[0], "acme", False)
    _replace(path, _document(default="on"))
    await _until(opened[0], "acme", True)


@pytest.mark.parametrize("variable", ["targetingKey", "tenant"])
async def test_one_tenant_can_be_stopped_alone(path: Path, opened: list[Flags], variable: str) -> None:
    rule = {"if": [{"==": [{"var": variable}, "noisy"]}, "off", "on"]}
    _write(path, _document(targeting=rule))
    opened.append(Flags(_settings(path)))
    assert await opened[0].timers_accepted("noisy") is False
    assert await opened[0].timers_accepted("acme") is True


@pytest.mark.parametrize("text", ["{not json", '{"flags": {"timers.accept": {"state": 3}}}', "[]"])
async def test_a_broken_file_keeps_the_defaults_until_it_is_mended(
    path: Path, opened: list[Flags], text: str, caplog: pytest.LogCaptureFixture
) -> None:
    _write(path, text)
    with caplog.at_level(logging.WARNING):
        opened.append(Flags(_settings(path)))
        assert await opened[0].timers_accepted("acme") is True
    assert "flag" in caplog.text
    _replace(path, _document(default="off"))
    await _until(opened[0], "acme", False)


async def test_a_missing_file_keeps_the_defaults_and_says_so(
    path: Path, opened: list[Flags], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        opened.append(Flags(_settings(path)))
    assert await opened[0].timers_accepted("acme") is True
    assert str(path) in caplog.text


async def test_a_file_that_breaks_later_keeps_its_last_good_answer(
    path: Path, opened: list[Flags], caplog: pytest.LogCaptureFixture
) -> None:
    _write(path, _document(default="off"))
    opened.append(Flags(_settings(path)))
    _replace(path, "{broken")
    deadline = time.monotonic() + 20
    while "Could not parse JSON" not in caplog.text:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
    assert await opened[0].timers_accepted("acme") is False


async def test_a_value_of_the_wrong_type_keeps_the_default(path: Path, opened: list[Flags]) -> None:
    flag = {"state": "ENABLED", "variants": {"on": "yes"}, "defaultVariant": "on"}
    _write(path, json.dumps({"flags": {"timers.accept": flag}}))
    opened.append(Flags(_settings(path)))
    assert await opened[0].timers_accepted("acme") is True


async def test_a_disabled_flag_keeps_the_default(path: Path, opened: list[Flags]) -> None:
    _write(path, _document(state="DISABLED", default="off"))
    opened.append(Flags(_settings(path)))
    assert await opened[0].timers_accepted("acme") is True


async def test_an_unreachable_flagd_keeps_the_defaults(unused_tcp_port: int, opened: list[Flags]) -> None:
    opened.append(Flags(Settings(flags=FlagsSettings(provider="flagd", port=unused_tcp_port))))
    assert await opened[0].timers_accepted("acme") is True


def test_grpc_is_not_imported_when_no_provider_needs_it() -> None:
    program = (
        "import sys; from minoots_platform.flags import Flags; from minoots_platform.settings import *; "
        "Flags(Settings(flags=FlagsSettings(provider='none'))); sys.exit('grpc' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
