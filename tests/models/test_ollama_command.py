"""``minoots ollama`` against a stand-in, as a process."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import sys
from pathlib import Path

from model_servers import model_server

MODELS = [{"name": "here:latest"}, {"name": "away:latest", "pulled": False, "size": 1000}]


def digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


async def ollama(url: str, folder: Path, *arguments: str, pins: str = "") -> tuple[int, str, str]:
    environ = {
        **os.environ,
        "MINOOTS_CONFIG": "",
        "MINOOTS_MODELS__PROVIDERS": f"ollama={url}",
        "MINOOTS_MODELS__PINS": pins,
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "from minoots.cli import main; main()", "ollama", *arguments),
        cwd=folder,
        env=environ,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        out, error = await process.communicate()
    return process.returncode or 0, out.decode(), error.decode()


async def test_models_are_pulled_warmed_up_listed_and_let_go(tmp_path: Path) -> None:
    pin = f"ollama/away={digest('away:latest')}"
    async with model_server(models=MODELS) as url:
        code, out, error = await ollama(url, tmp_path, "pull", "away", pins=pin)
        assert code == 0, error
        assert "50 %" in out
        code, out, error = await ollama(url, tmp_path, "warm", "away")
        assert code == 0, error
        assert "away:latest is in memory" in out
        code, out, error = await ollama(url, tmp_path, "list", "--json", pins=pin)
        rows = {row["name"]: row for row in map(json.loads, out.splitlines())}
        assert rows["away:latest"]["pinned"]
        assert rows["away:latest"]["loaded_until"]
        assert rows["here:latest"]["loaded_until"] is None
        code, out, error = await ollama(url, tmp_path, "pin", "away")
        assert out.strip() == f"ollama/away:latest=sha256:{digest('away:latest')}"
        assert (await ollama(url, tmp_path, "unload", "away"))[0] == 0
        code, out, error = await ollama(url, tmp_path, "list")
        assert digest("here:latest")[:12] in out


async def test_what_goes_wrong_says_what_to_do(tmp_path: Path) -> None:
    async with model_server(models=MODELS) as url:
        code, _, error = await ollama(url, tmp_path, "pull", "away", pins=f"ollama/away={'0' * 12}")
        assert code == 5
        assert "pinned" in error
        code, _, error = await ollama(url, tmp_path, "pull", "nowhere")
        assert code == 5
        assert "registry" in error
        code, _, error = await ollama(url, tmp_path, "pin", "nowhere")
        assert code == 5
        assert "it has away:latest, here:latest" in error or "it has here:latest" in error
        assert "minoots ollama pull nowhere" in error
        code, _, error = await ollama(url, tmp_path, "list", "--provider", "other")
        assert code == 2
        assert "name no Ollama server other" in error
    code, _, error = await ollama(url, tmp_path, "list")
    assert code == 5
    assert "Start the provider" in error
