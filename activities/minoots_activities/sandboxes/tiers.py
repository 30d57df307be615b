"""Which tiers this worker gives, and whether it may: asked for one, it gives that one or an error."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from minoots.contracts.sandboxes import Limits, Tier
from minoots.errors import FailureKind
from minoots_activities.vms.machines import Machines, end_left_behind
from minoots_activities.vms.qemu import BINARY

from . import cgroups
from .bubblewrap import Bubblewrap
from .port import NeverStarted, Sandbox, Sandboxes, never_started
from .process import Processes, remove_folders_left_behind

STRONG: Final = frozenset({Tier.BUBBLEWRAP, Tier.VM})
"""Tiers that shut something in."""


@dataclass(frozen=True)
class Ceilings:
    """The most that the limits of a sandbox may be: each is the setting ``sandbox.max_…`` of its name."""

    memory_mb: int = 4096
    disk_mb: int = 4096
    cpus: float = 4.0
    processes: int = 1024

    def hold(self, limits: Limits) -> None:
        """Refuse limits that are higher.

        Raises:
            NeverStarted: one is; the error names it, the ceiling and its setting.
        """
        for name in ("memory_mb", "disk_mb", "cpus", "processes"):
            wanted, most = getattr(limits, name), getattr(self, name)
            if wanted > most:
                raise NeverStarted(
                    FailureKind.INVALID,
                    f"limits.{name} is {wanted}, and this service gives no more than {most}",
                    remedy=f"Ask for less, or have the operator raise sandbox.max_{name}.",
                )


class Tiers:
    """Sandboxes of every tier that there is.

    Args:
        allow_process: whether the tier ``process`` may be used.
        read_only: folders beside the system's that programs in stronger tiers may read.
        use_cgroups: whether limits are held by control groups where they can be.
        strong: which of the other tiers may be used.
        ceilings: the most that limits may be.
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
        strong: Collection[Tier] = STRONG,
        ceilings: Ceilings | None = None,
    ) -> None:
        self._strong = frozenset(strong)
        self._ceilings = ceilings or Ceilings()
        self._place = cgroups.place() if use_cgroups else None
        self._given: dict[Tier, Sandboxes] = {
            Tier.PROCESS: Processes(self._place, allowed=allow_process),
            Tier.BUBBLEWRAP: Bubblewrap(self._place, tuple(read_only)),
            Tier.VM: Machines(vm_image, qemu),
        }

    async def create(self, tier: Tier, name: str, limits: Limits) -> Sandbox:
        """Return a new sandbox of exactly this tier.

        Raises:
            NeverStarted: this machine cannot give it, or settings do not allow it; the error says what is
                missing, or which setting.
        """
        if tier in STRONG and tier not in self._strong:
            raise NeverStarted(
                FailureKind.DENIED,
                f"the tier {tier} may not be used here",
                remedy="Choose another tier, or have the operator add it to sandbox.tiers.",
            )
        self._ceilings.hold(limits)
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
