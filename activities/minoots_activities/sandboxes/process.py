"""The tier ``process``: a process like any other, in a folder of its own, with limits. For development.

It keeps nothing from anybody: a program reads and writes whatever the worker's user may, and has the network.
Only what may run away is held: time, output, the size of files, and memory.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from pathlib import Path

from minoots.contracts.sandboxes import Limits, Tier

from .cgroups import Group, Place
from .guested import GuestedSandbox
from .names import PREFIX, is_left_behind, name_of
from .port import PATH, Sandbox, Sandboxes, never_started
from .starting import GUEST, environment, interpreter, limits_of, start


class Processes(Sandboxes):
    """Sandboxes that are none.

    Args:
        place: where control groups can be made, if anywhere.
        allowed: whether settings allow them.
    """

    tier = Tier.PROCESS
    no_network = "it shuts nothing in, so a program would have all of the machine's network beside that list"

    def __init__(self, place: Place | None = None, *, allowed: bool = False) -> None:
        self._place = place
        self._allowed = allowed

    async def missing(self) -> tuple[str, ...]:
        """Return what keeps this machine from it."""
        return self._lacks()

    def _lacks(self) -> tuple[str, ...]:
        if not self._allowed:
            return ("the setting sandbox.allow_process is off, for such a program is shut in by nothing",)
        return () if interpreter(None) else ("there is no Python that could run its guest",)

    async def create(self, name: str, limits: Limits, image: str | None = None) -> Sandbox:
        """Return a new folder and a guest in it."""
        lacks = self._lacks()
        if lacks:
            raise never_started(
                f"this machine does not give the tier {self.tier}: {'; '.join(lacks)}",
                "Choose the tier bubblewrap, or allow this one for development.",
            )
        folder = Path(tempfile.mkdtemp(prefix=f"{name_of(name)}-"))
        group = await self._group(name, limits)
        each, held_by = limits_of(limits, group, processes=False)

        async def confine(pid: int) -> bool:
            if group is not None:
                group.add(pid)
            return True

        async def tidy() -> None:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

        try:
            started = await start(
                lambda sock: [
                    str(interpreter(None)), "-I", "-S", "-B", str(GUEST), str(sock), str(folder), "plain",
                ],
                beforehand=confine,
                cwd=folder,
                env={"PATH": os.environ.get("PATH", PATH)},
            )  # fmt: skip
        except BaseException:
            if group is not None:
                await group.remove()
            await tidy()
            raise
        env = environment(str(folder), os.environ.get("PATH", PATH), {"TMPDIR": str(folder)})
        return GuestedSandbox(
            self.tier, limits, held_by, each, started.process, started.channel, group, env, tidy
        )

    async def _group(self, name: str, limits: Limits) -> Group | None:
        """Return a control group where one can be had: here it is an extra, nobody was promised any."""
        if self._place is None:
            return None
        group = Group(self._place, name_of(name))
        try:
            group.make(limits)
        except OSError:
            await group.remove()
            return None
        return group


def remove_folders_left_behind() -> int:
    """Remove the folders of processes that are no more; return how many."""
    gone = 0
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        if is_left_behind(folder.name):
            shutil.rmtree(folder, ignore_errors=True)
            gone += 1
    return gone
