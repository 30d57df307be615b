"""Docker's own client, at the socket on which podman speaks docker's wire: no daemon of docker's is needed.

So the command lines are real, and what answers them is not docker's daemon.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import container_images

_WITHIN = 60.0


def lacks() -> str | None:
    """Return why this cannot be had here."""
    client = shutil.which("docker")
    if client is None:
        return "there is no client of docker's (apt install docker-cli, or docker.io)"
    told = subprocess.run([client, "--version"], capture_output=True, text=True, timeout=60, check=False)
    if not told.stdout.startswith("Docker"):
        return "docker is another name of podman here"
    return container_images.lacks()


@contextmanager
def docker_host() -> Iterator[str]:
    """Serve docker's wire by podman; yield the address for ``DOCKER_HOST``."""
    with tempfile.TemporaryDirectory() as folder:
        address = f"unix://{folder}/podman.sock"
        log = Path(folder, "log")
        with log.open("wb") as out:
            process = subprocess.Popen(
                ["podman", "--cgroup-manager", "cgroupfs", "system", "service", "--time", "0", address],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        try:
            _wait_until_it_answers(address, process, log)
            yield address
        finally:
            process.kill()
            process.wait()


def _wait_until_it_answers(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    environ = {**os.environ, "DOCKER_HOST": address}
    deadline = time.monotonic() + _WITHIN
    while True:
        asked = subprocess.run(
            ["docker", "version"], env=environ, capture_output=True, timeout=_WITHIN, check=False
        )
        if asked.returncode == 0:
            return
        if process.poll() is not None or time.monotonic() > deadline:
            raise AssertionError(f"podman serves nothing: {log.read_text()}{asked.stderr.decode()}")
        time.sleep(0.05)
