"""The garbage collector while a process starts, and once it serves."""

from __future__ import annotations

import gc
import subprocess
import sys
from importlib.metadata import EntryPoint

from minoots.cli import plugins


def test_while_it_loads_nothing_is_collected_and_afterwards_new_things_are() -> None:
    # In a process of its own: what is frozen stays frozen.
    code = (
        "import gc\n"
        "from minoots_platform.collector import loading\n"
        "with loading():\n"
        "    assert not gc.isenabled()\n"
        "    assert gc.get_freeze_count() == 0\n"
        "assert gc.isenabled()\n"
        "assert gc.get_freeze_count() > 1000\n"
        "try:\n"
        "    with loading():\n"
        "        import no_such_module\n"
        "except ModuleNotFoundError:\n"
        "    assert gc.isenabled()\n"
    )
    subprocess.run([sys.executable, "-c", code], timeout=60, check=True)


def test_a_command_that_is_loaded_is_collected_again() -> None:
    for value in ("minoots.cli.events:app", "no_such_module:app"):
        plugins.load(EntryPoint("x", value, plugins.GROUP))
        assert gc.isenabled()
