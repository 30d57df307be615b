"""A gateway on a socket, on SQLite and on Postgres, with or without Temporal and workers behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
from cryptography.fernet import Fernet
from gateways import Door, open_door
from stacks import Stack
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from minoots_api.events.tailer import Tailer
from minoots_api.gateway import Gateway
from minoots_platform.clock import utc_now
from minoots_platform.flags import Flags
from minoots_platform.handover import HandOver
from minoots_platform.records import Database
from minoots_platform.settings import Settings, with_overrides
from minoots_platform.telemetry import Telemetry
from minoots_platform.vault import Vault
from minoots_workflows.handover import Engine


@pytest.fixture
def settings() -> Settings:
    """Settings as `minoots dev` has them."""
    return with_overrides(
        Settings(),
        {
            "environment": "dev",
            "gateway": {"allow_dev_tenant": True},
            "flags": {"provider": "none"},
            "sandbox": {"allow_process": True},
            "delivery": {"allowed_networks": ["127.0.0.0/8", "::1/128"]},
        },
    )


@pytest.fixture
def flags(settings: Settings) -> Iterator[Flags]:
    """Flags at their defaults."""
    with Flags(settings) as flags:
        yield flags


@pytest.fixture
async def door(
    database: Database, settings: Settings, flags: Flags, telemetry: Telemetry
) -> AsyncIterator[Door]:
    """A gateway whose Temporal is away: it accepts all the same."""
    client = await Client.connect("127.0.0.1:9", lazy=True, data_converter=pydantic_data_converter)
    gateway = Gateway(
        settings=settings,
        database=database,
        handover=HandOver(database, Engine(client)),
        flags=flags,
        telemetry=telemetry,
        vault=Vault([Fernet.generate_key().decode()]),
        clock=utc_now,
        temporal=client,
        tailer=Tailer(database),
    )
    async with open_door(gateway) as door:
        yield door


@pytest.fixture
async def full(stack: Stack, settings: Settings, flags: Flags, telemetry: Telemetry) -> AsyncIterator[Door]:
    """A gateway with Temporal and workers behind it; the tenant is that of loopback, dev."""
    stack.tenant = "dev"
    gateway = Gateway(
        settings=settings,
        database=stack.database,
        handover=stack.handover,
        flags=flags,
        telemetry=telemetry,
        vault=stack.vault,
        clock=utc_now,
        temporal=stack.client,
        tailer=Tailer(stack.database),
    )
    async with open_door(gateway) as door:
        yield door
