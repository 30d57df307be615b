"""Real servers for connectors: SMTP, NATS with JetStream, a chat's webhook, Temporal."""

from __future__ import annotations

import asyncio
import sysconfig
from collections.abc import AsyncIterator, Iterator
from ipaddress import ip_network
from pathlib import Path

import nats
import pytest
from aiosmtpd.controller import Controller
from connector_cases import CASES, Case, Mailbox, Servers, free_port
from receivers import Receiver
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment

from minoots_activities.http import WebhookSender
from minoots_platform.records import Database
from minoots_platform.telemetry import Telemetry
from minoots_platform.vault import Vault


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    """A real SMTP server on loopback."""
    box = Mailbox()
    controller = Controller(box, hostname="127.0.0.1", port=free_port())
    controller.start()
    box.port = controller.port
    yield box
    controller.stop()


@pytest.fixture(scope="session")
async def nats_url(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """A real NATS server with JetStream."""
    port = free_port()
    server = await asyncio.create_subprocess_exec(
        str(Path(sysconfig.get_path("scripts")) / "nats-server"),
        *("-a", "127.0.0.1", "-p", str(port), "-js", "-sd", str(tmp_path_factory.mktemp("nats"))),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    url = f"nats://127.0.0.1:{port}"
    try:
        async with asyncio.timeout(20):
            while True:
                try:
                    client = await nats.connect(url, allow_reconnect=False, connect_timeout=1)
                    break
                except Exception:
                    await asyncio.sleep(0.05)
        await client.jetstream().add_stream(name="minoots", subjects=["minoots.acme.>"])
        await client.close()
        yield url
    finally:
        server.kill()
        await server.wait()


@pytest.fixture
async def http() -> AsyncIterator[WebhookSender]:
    """Guarded HTTP that may reach loopback."""
    async with WebhookSender(allowed_networks=(ip_network("127.0.0.0/8"),), user_agent="test") as sender:
        yield sender


@pytest.fixture
async def client(temporal: WorkflowEnvironment, namespace: str) -> Client:
    """A client of the run's Temporal server."""
    address = temporal.client.service_client.config.target_host
    return await Client.connect(address, namespace=namespace, data_converter=pydantic_data_converter)


@pytest.fixture
async def servers(
    client: Client,
    http: WebhookSender,
    receiver: Receiver,
    mailbox: Mailbox,
    nats_url: str,
    sqlite_url: str,
    telemetry: Telemetry,
) -> AsyncIterator[Servers]:
    """All of them."""
    vault = Vault([Vault.generate_key()])
    async with Database(sqlite_url) as database:
        yield Servers(client, http, receiver, mailbox, nats_url, database, vault, telemetry)


@pytest.fixture(params=sorted(CASES))
async def case(request: pytest.FixtureRequest, servers: Servers) -> AsyncIterator[Case]:
    """Each connector in front of a real receiver."""
    made = await CASES[request.param](servers)
    yield made
    await made.sender.close()
    assert made.away is not None
    await made.away.sender.close()
    if made.stop is not None:
        await made.stop()
