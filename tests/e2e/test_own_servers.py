"""Worker and gateway alone, as in production: another Temporal, Postgres, API keys, no loopback door."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dev_stacks
import httpx
import pytest
from cryptography.fernet import Fernet
from receivers import Receiver
from standardwebhooks.webhooks import Webhook
from temporalio.testing import WorkflowEnvironment

pytestmark = pytest.mark.e2e


@pytest.fixture
def environment(postgres_url: str, temporal: WorkflowEnvironment) -> dict[str, str]:
    """Settings of a production deployment."""
    address = temporal.client.service_client.config.target_host
    return dev_stacks.environment() | {
        "MINOOTS_RECORDS__URL": postgres_url,
        "MINOOTS_TEMPORAL__ADDRESS": address,
        "MINOOTS_TEMPORAL__NAMESPACE": "default",
        "MINOOTS_SECRETS__MASTER_KEYS": f'["{Fernet.generate_key().decode()}"]',
        "MINOOTS_DELIVERY__ALLOWED_NETWORKS": '["127.0.0.0/8"]',
    }


@pytest.fixture
def processes() -> Iterator[list[subprocess.Popen[bytes]]]:
    """What was started; ended afterwards."""
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for process in started:
        process.kill()
        process.wait(10)


async def test_production_parts_deliver_with_a_key(
    environment: dict[str, str],
    processes: list[subprocess.Popen[bytes]],
    tmp_path: Path,
    receiver: Receiver,
) -> None:
    def run(*command: str) -> str:
        done = subprocess.run(
            command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    run(sys.executable, "-m", "minoots_platform.records.migrate")
    key = run(
        dev_stacks.MINOOTS, "keys", "create", "--tenant", "acme", "--name", "e2e", "--scope", "admin"
    ).strip()
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with (tmp_path / "log").open("wb") as log:
        processes.append(
            subprocess.Popen([dev_stacks.MINOOTS, "worker"], env=environment, cwd=tmp_path, stderr=log)
        )
        processes.append(
            subprocess.Popen(
                [dev_stacks.MINOOTS, "gateway", "--fd", str(listener.fileno())],
                env=environment,
                cwd=tmp_path,
                stderr=log,
                pass_fds=(listener.fileno(),),
            )
        )
    listener.close()
    async with httpx.AsyncClient(base_url=url, timeout=70) as http:
        async with asyncio.timeout(40):
            while (await http.get("/ready")).status_code != 200:
                await asyncio.sleep(0.1)
        body = {"name": "p", "after": 0.5, "actions": [{"url": receiver.url, "secret": "orders"}]}
        assert (await http.post("/v1/timers", json=body)).status_code == 401, "loopback is no door here"
        http.headers["authorization"] = f"Bearer {key}"
        secret = (await http.post("/v1/secrets", json={"name": "orders"})).json()
        timer = (await http.post("/v1/timers", json=body)).json()
        settled = (await http.get(f"/v1/timers/{timer['id']}", params={"wait": 30})).json()
        assert settled["state"] == "settled"
    [request] = receiver.requests
    Webhook(secret["key"]).verify(request.body, request.headers)
    for process in processes:
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, 30) == 0


def test_production_without_a_master_key_is_refused(environment: dict[str, str], tmp_path: Path) -> None:
    del environment["MINOOTS_SECRETS__MASTER_KEYS"]
    for part in ("worker", "gateway"):
        ended = subprocess.run(
            [dev_stacks.MINOOTS, part],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert ended.returncode == 2
        assert "secrets.master_keys" in ended.stderr


def test_a_worker_without_temporal_says_so(environment: dict[str, str], tmp_path: Path) -> None:
    environment["MINOOTS_TEMPORAL__ADDRESS"] = "127.0.0.1:1"
    ended = subprocess.run(
        [dev_stacks.MINOOTS, "worker"],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 1
    assert "127.0.0.1:1" in ended.stderr
    assert "Traceback" not in ended.stderr
