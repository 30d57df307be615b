"""Workflow code sees neither clock nor chance nor world, and the linter would notice."""

from __future__ import annotations

import json
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
RUFF = Path(sysconfig.get_path("scripts")) / "ruff"

PLANTED = {
    "now": "from datetime import UTC, datetime\n\nNOW = datetime.now(UTC)\n",
    "utcnow": "import datetime\n\nNOW = datetime.datetime.utcnow()\n",
    "today": "from datetime import date\n\nDAY = date.today()\n",
    "time": "import time\n\nNOW = time.monotonic()\n",
    "random": "from random import random\n\nX = random()\n",
    "uuid": "import uuid\n\nX = uuid.uuid4()\n",
    "environment": "import os\n\nX = os.environ\n",
    "file": "from pathlib import Path\n\nX = Path()\n",
    "network": "import httpx\n\nX = httpx.Client\n",
    "records": "import sqlalchemy\n\nX = sqlalchemy.select\n",
    "sleep": "import asyncio\n\nX = asyncio.sleep\n",
    "order": "import asyncio\n\nX = asyncio.as_completed\n",
}


def banned(folder: Path) -> list[str]:
    """What the ban on the world finds below ``folder``."""
    command = [RUFF, "check", "--no-cache", "--select", "TID251", "--output-format", "json", folder]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode in (0, 1), found.stderr
    return [str(one["message"]) for one in json.loads(found.stdout)]


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """The configuration as it is, in a tree of its own."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    workflows = tmp_path / "workflows"
    (workflows / "minoots_workflows").mkdir(parents=True)
    shutil.copy(ROOT / "workflows" / "ruff.toml", workflows)
    return workflows


def test_workflow_code_is_clean() -> None:
    assert banned(ROOT / "workflows") == []


@pytest.mark.parametrize("name", PLANTED)
def test_what_would_break_a_replay_is_caught(copied: Path, name: str) -> None:
    (copied / "minoots_workflows" / "planted.py").write_text(PLANTED[name])
    assert banned(copied) != []


def test_the_same_outside_of_workflows_is_nobodys_business(copied: Path) -> None:
    platform = copied.parent / "platform"
    platform.mkdir()
    (platform / "planted.py").write_text(PLANTED["now"])
    assert banned(platform) == []


def test_no_workflow_file_turns_the_ban_off() -> None:
    for path in (ROOT / "workflows").rglob("*.py"):
        assert "noqa" not in path.read_text(), path
