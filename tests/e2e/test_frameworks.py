"""The SDK's integrations, in the environment of their frameworks, against a stack of this one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from dev_stacks import DevStack

TESTS = Path(__file__).parents[1] / "frameworks"
PYTHON = Path(sys.prefix) / "frameworks" / "bin" / "python"

pytestmark = pytest.mark.e2e


@pytest.mark.skipif(
    not PYTHON.exists() and "CI" not in os.environ,
    reason="the frameworks' environment is missing; make test sets it up",
)
@pytest.mark.timeout(300)
def test_the_frameworks_get_on_with_the_service(shared_stack: DevStack) -> None:
    command = [PYTHON, "-m", "pytest", "-q", "-c", TESTS / "pytest.ini", "--rootdir", TESTS, TESTS]
    surroundings = os.environ | {"MINOOTS_URL": shared_stack.url, "LANGSMITH_TRACING": "false"}
    ran = subprocess.run(command, env=surroundings, capture_output=True, text=True, check=False, cwd=TESTS)
    assert ran.returncode == 0, ran.stdout[-8000:] + ran.stderr[-2000:]
