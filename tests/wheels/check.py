"""Build both wheels, install them in a fresh environment outside the checkout, and set one timer with them.

Catches a package or a data file (migrations, pages) that the checkout has and the wheel lacks.
Run by ``make wheels``; needs the package index, as any installation does.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.request
import venv
from pathlib import Path

ROOT = Path(__file__).parents[2]
READY_WITHIN = 60

sys.path.insert(0, str(ROOT / "tests" / "support"))


def build(target: Path) -> list[Path]:
    """Build the wheels of both distributions into ``target``."""
    for project in (ROOT / "sdk", ROOT):
        command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(target)]
        subprocess.run(command, cwd=project, check=True, stdout=subprocess.DEVNULL)
    return sorted(target.glob("*.whl"))


def install(folder: Path, wheels: list[Path]) -> Path:
    """Make an environment with what the lock pins and the wheels; return its ``bin``."""
    venv.create(folder, with_pip=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    lock = ROOT / "requirements" / "runtime.txt"
    subprocess.run([*pip, "--require-hashes", "-r", str(lock)], check=True)
    subprocess.run([*pip, "--no-deps", *map(str, wheels)], check=True)
    return folder / "bin"


def smoke(bin_folder: Path, folder: Path) -> None:
    """Import everything, and ask the command for its version."""
    packages = (
        "minoots, minoots_workflows, minoots_platform, minoots_activities, minoots_workers, minoots_api"
    )
    subprocess.run([str(bin_folder / "python"), "-c", f"import {packages}"], cwd=folder, check=True)
    shown = subprocess.run(
        [str(bin_folder / "minoots"), "--version"], cwd=folder, check=True, capture_output=True, text=True
    )
    print(f"minoots --version: {shown.stdout.strip()}")


async def one_timer(bin_folder: Path, folder: Path) -> None:
    """Start the embedded stack from the wheels, set a timer, get its webhook."""
    from receivers import receiving

    command = [
        str(bin_folder / "minoots"),
        "dev",
        "--json",
        "--port",
        "0",
        "--temporal-port",
        "0",
        "--ui-port",
        "0",
    ]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MINOOTS_")}
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = await asyncio.wait_for(asyncio.to_thread(process.stdout.readline), READY_WITHIN)
        gateway = json.loads(line)["gateway"]
        async with receiving() as receiver:
            body = {"name": "from the wheels", "after": 0.5, "actions": [{"url": receiver.url}]}
            request = urllib.request.Request(
                f"{gateway}/v1/timers", json.dumps(body).encode(), {"content-type": "application/json"}
            )
            made = await asyncio.to_thread(lambda: json.load(urllib.request.urlopen(request)))
            [webhook] = await receiver.expect(1)
            assert webhook.event["subject"] == made["id"]
            assert "webhook-signature" in webhook.headers
            print(f"one timer end to end: {made['id']}")
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0, f"minoots dev ended with {process.returncode}"


def main() -> None:
    """Build, install, try."""
    folder = Path(tempfile.mkdtemp(prefix="minoots-wheels-"))
    try:
        wheels = build(folder / "dist")
        print("built " + ", ".join(wheel.name for wheel in wheels))
        bin_folder = install(folder / "venv", wheels)
        smoke(bin_folder, folder)
        asyncio.run(one_timer(bin_folder, folder))
    finally:
        shutil.rmtree(folder)
    print("wheels: 3 passed, 0 failed")


if __name__ == "__main__":
    main()
