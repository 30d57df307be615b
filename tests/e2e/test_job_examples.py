"""The examples of jobs run against a whole stack, a model server that plays a script, and a sandbox."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import dev_stacks
import pytest
from dev_stacks import DevStack
from model_servers import model_server

from minoots.contracts.sandboxes import Tier
from minoots_activities.sandboxes.tiers import Tiers

pytestmark = pytest.mark.e2e

EXAMPLES = Path(__file__).parents[2] / "examples"


async def test_the_examples_of_jobs_run(dev_stack: Callable[..., DevStack], tmp_path: Path) -> None:
    lacks = await Tiers(vm_image=Path("none"))._given[Tier.BUBBLEWRAP].missing()
    tier = Tier.PROCESS if lacks else Tier.BUBBLEWRAP

    async def run(example: str, url: str) -> str:
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, str(EXAMPLES / example)],
            cwd=tmp_path,
            env=dev_stacks.environment() | {"MINOOTS_URL": url, "SANDBOX_TIER": tier},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    played = tomllib.loads((EXAMPLES / "fix_tests.toml").read_text())
    sky = {"when": "sky", "text": "It scatters."}
    asked = tomllib.loads((EXAMPLES / "ask_server.toml").read_text())
    async with model_server(turns=[sky, *asked["turns"], *played["turns"]]) as models:
        (tmp_path / "minoots.toml").write_text(
            f'[models]\nproviders = ["ollama={models}"]\n[sandbox]\nallow_process = true\n'
        )
        stack = await asyncio.to_thread(dev_stack)
        assert "It scatters." in await run("ask_model.py", stack.url)
        told = await run("run_program.py", stack.url)
        assert "3 the\n" in told
        assert "longest.txt 8 bytes" in told
        told = await run("ask_server.py", stack.url)
        assert "< stock__in_stock 12\n" in told
        assert "There are 12 of tea" in told
        told = await run("fix_tests.py", stack.url)
        assert "The tests pass" in told
        assert "+    return sum(prices) * (100 - discount) // 100\n" in told
