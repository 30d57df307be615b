"""What takes long to import and is not always needed is not imported when a process starts."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {
    # What speaks to MCP servers, with the web server that the library brings: half a second of a processor.
    "minoots_activities.jobs.agents.acting": {"mcp", "mcp_types", "httpx2", "uvicorn"},
    # The models of the wire: a command needs those of one thing.
    "minoots.client": {"minoots.contracts.jobs", "minoots.contracts.plans", "minoots.contracts.sessions"},
    # Every command on this machine loads the settings, which need two of them.
    "minoots_platform.settings": {"minoots.contracts.jobs", "minoots.contracts.timers"},
}


@pytest.mark.parametrize("module", HEAVY)
def test_what_is_heavy_is_imported_when_it_is_needed(module: str) -> None:
    program = (
        f"import sys, {module}; "
        f"sys.exit('imported: ' + ' '.join(found) if (found := {HEAVY[module]!r} & set(sys.modules)) else 0)"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
