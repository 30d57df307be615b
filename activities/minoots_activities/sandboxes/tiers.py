"""Which tiers this worker gives, and whether it may: asked for one, it gives that one or an error."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path

from minoots.contracts.sandboxes import Limits, Tier
from minoots_activities.vms.machines import Machines, end_left_behind
from minoots_activities.vms.qemu import BINARY

from . import cgroups
from .bubblewrap import Bubblewrap
from .port import Sandbox, Sandboxes, never_started
from .process import Processes, remove_folders_left_behind


class Tiers:
    """Sandboxes of every tier that there is.

    Args:
        allow_process: whether the tier ``process`` may be used.
        read_only: folders beside the system's that programs in stronger tiers may read.
        use_cgroups: whether limits are held by control groups where they can be.
        vm_image: the folder of the image of virtual machines.
        qemu: what runs these.
    """

    def __init__(
        self,
        *,
        vm_image: Path,
        qemu: str = BINARY,
        allow_process: bool = False,
        read_only: Iterable[Path] = (),
        use_cgroups: bool = True,
    ) -> None:
        self._place = cgroups.place() if use_cgroups else None
        self._given: dict[Tier, Sandboxes] = {
            Tier.PROCESS: Processes(self._place, allowed=allow_process),
            Tier.BUBBLEWRAP: Bubblewrap(self._place, tuple(read_only)),
            Tier.VM: Machines(vm_image, qemu),
        }

    async def create(self, tier: Tier, name: str, limits: Limits) -> Sandbox:
        """Return a new sandbox of exactly this tier.

        Raises:
            NeverStarted: this machine cannot give it; the error says what is missing.
        """
        given = self._given[tier]
        lacks = await given.missing()
        if lacks:
            raise never_started(
                f"this worker cannot give the tier {tier}: {'; '.join(lacks)}",
                "Put right what is missing, or choose another tier.",
            )
        return await given.create(name, limits)

    async def remove_left_behind(self) -> int:
        """Remove what workers that were killed have left of their sandboxes; return how much that was."""
        # Machines first: they are found by their folders.
        gone = await asyncio.to_thread(end_left_behind)
        gone += await asyncio.to_thread(remove_folders_left_behind)
        if self._place is not None:
            gone += await asyncio.to_thread(cgroups.remove_left_behind, self._place)
        return gone
