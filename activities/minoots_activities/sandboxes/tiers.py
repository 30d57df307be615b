"""Which tiers this worker gives, and whether it may: asked for one, it gives that one or an error."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Final

from minoots.contracts.sandboxes import Limits, Tier
from minoots.errors import FailureKind
from minoots_activities.egress.gate import Attempt, Bounds, Gate, Heard
from minoots_activities.http.names import Resolver, SystemResolver
from minoots_activities.vms.engines import Engine
from minoots_activities.vms.machines import Machines, end_left_behind
from minoots_activities.vms.roots import Roots
from minoots_activities.vms.starting import Qemu
from minoots_platform.addresses import AddressPolicy
from minoots_platform.network_rules import Rules

from . import cgroups
from .bubblewrap import Bubblewrap
from .containers import Containers
from .engines import ContainerEngine
from .port import NeverStarted, OutcomeUnknown, Sandbox, Sandboxes, ended_before, never_started
from .process import Processes, remove_folders_left_behind
from .room import Room
from .watching import Watching

STRONG: Final = frozenset({Tier.BUBBLEWRAP, Tier.CONTAINER, Tier.VM})
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


@dataclass(frozen=True)
class Network:
    """What sandboxes may have of the network.

    Attributes:
        most: the hosts that jobs may be given; nothing by default.
        policy: the addresses that they may be at.
        bounds: how much of it one sandbox may have.
        resolver: who knows names; by default the system's.
    """

    most: Rules = field(default_factory=lambda: Rules(()))
    policy: AddressPolicy = field(default_factory=AddressPolicy)
    bounds: Bounds = field(default_factory=Bounds)
    resolver: Resolver = field(default_factory=SystemResolver)

    def hold(self, hosts: Sequence[str]) -> Rules:
        """Return the rules of a sandbox that is to reach these hosts.

        Raises:
            NeverStarted: some of them may not be reached from here.
        """
        rules = Rules.parse(hosts)
        beyond = rules.beyond(self.most)
        if beyond:
            raise NeverStarted(
                FailureKind.DENIED,
                f"network has hosts that jobs may not reach here: {', '.join(beyond[:10])}",
                remedy="Leave them out, or have the operator add them to sandbox.network.hosts.",
            )
        return rules


class Tiers:
    """Sandboxes of every tier that there is.

    Args:
        allow_process: whether the tier ``process`` may be used.
        read_only: folders beside the system's that programs in stronger tiers may read.
        use_cgroups: whether limits are held by control groups where they can be.
        strong: which of the other tiers may be used.
        ceilings: the most that limits may be.
        vm_image: the folder of the image of virtual machines.
        machines: what runs these; by default QEMU, without states.
        vm_roots: what they may have as the root of their files.
        network: what they may have of the network.
        engine: what runs containers.
        images: the images that these may have, the first one by default.
        watching: who watches them.
        room: the memory that they have together; without it nobody counts.
        ready: how many of the tier ``bubblewrap`` are begun before they are asked for, once one was; whoever
            gives more than none closes this at the end.
    """

    def __init__(
        self,
        *,
        vm_image: Path,
        machines: Engine | None = None,
        vm_roots: Roots | None = None,
        allow_process: bool = False,
        read_only: Iterable[Path] = (),
        use_cgroups: bool = True,
        strong: Collection[Tier] = STRONG,
        ceilings: Ceilings | None = None,
        network: Network | None = None,
        engine: ContainerEngine | None = None,
        images: Sequence[str] = (),
        watching: Watching | None = None,
        room: Room | None = None,
        ready: int = 0,
    ) -> None:
        self._strong = frozenset(strong)
        self._ceilings = ceilings or Ceilings()
        self.network = network or Network()
        self.watching = watching or Watching()
        self._place = cgroups.place() if use_cgroups else None
        self._room = room
        if room is not None and self._place is not None and "memory" in self._place.folders:
            room.groups = (self._place.folders["memory"],)
        self._containers = Containers(self._place, engine or ContainerEngine(), tuple(images))
        self._bubblewrap = Bubblewrap(self._place, tuple(read_only), ready)
        self._given: dict[Tier, Sandboxes] = {
            Tier.PROCESS: Processes(self._place, allowed=allow_process),
            Tier.BUBBLEWRAP: self._bubblewrap,
            Tier.CONTAINER: self._containers,
            Tier.VM: Machines(machines or Qemu(vm_image), vm_roots),
        }

    @asynccontextmanager
    async def hold(
        self,
        tier: Tier,
        name: str,
        limits: Limits,
        priority: int,
        *,
        lasts: timedelta | None = None,
        waited: timedelta = timedelta(0),
        whose: str = "",
    ) -> AsyncIterator[None]:
        """Wait until the machine has memory for a sandbox, and keep it as long as this lasts.

        Whoever creates one for a stranger holds room first, and lets go of it when that one is destroyed.

        Args:
            tier: how strong.
            name: what it is for.
            limits: how much it may take.
            priority: 1 goes first, of those of one tenant.
            lasts: how long it will be there at most; by default as long as its limits give a program.
            waited: how long it has waited before.
            whose: the tenant's.

        Raises:
            NeverStarted: nobody can tell what there is room for.
        """
        if self._room is None:
            yield
            return
        async with self._room.hold(name, tier, limits, priority, lasts=lasts, waited=waited, whose=whose):
            yield

    async def create(
        self,
        tier: Tier,
        name: str,
        limits: Limits,
        *,
        network: Sequence[str] = (),
        heard: Heard | None = None,
        image: str | None = None,
    ) -> Sandbox:
        """Return a new sandbox of exactly this tier.

        Args:
            tier: how strong.
            name: what it is for.
            limits: how much it may take.
            network: the hosts that its programs may reach.
            heard: who is told of every attempt to reach one.
            image: its root file system, in the tiers ``container`` and ``vm``.

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
        if self._room is not None:
            self._room.require(tier, limits)
        given = self._given[tier]
        rules = self.network.hold(network)
        if network and given.no_network is not None:
            raise NeverStarted(
                FailureKind.INVALID,
                f"the tier {tier} cannot hold a program to the hosts in network: {given.no_network}",
                remedy="Leave network out, or choose the tier bubblewrap, container or vm.",
            )
        if image is not None and tier not in (Tier.CONTAINER, Tier.VM):
            raise NeverStarted(
                FailureKind.INVALID,
                f"the tier {tier} has no images",
                remedy="Leave image out, or choose the tier container or vm.",
            )
        lacks = await given.missing()
        if lacks:
            raise never_started(
                f"this worker cannot give the tier {tier}: {'; '.join(lacks)}",
                "Put right what is missing, or choose another tier.",
            )
        with self.watching.starting(tier):
            sandbox = await given.create(name, limits, image)
        if self._room is not None and sandbox.known_as is not None:
            self._room.know(name, sandbox.known_as)
        if not network:
            return sandbox
        outside = self.network
        gate = Gate(rules, outside.policy, outside.resolver, outside.bounds, self._heard(heard))
        try:
            await sandbox.let_out(gate)
        except BaseException as error:
            await sandbox.destroy()
            if isinstance(error, OutcomeUnknown):
                raise ended_before() from error
            raise
        return sandbox

    async def aclose(self) -> None:
        """End what was begun and not asked for."""
        await self._bubblewrap.aclose()

    def _heard(self, heard: Heard | None) -> Heard:
        def hear(attempt: Attempt) -> None:
            if heard is not None:
                heard(attempt)
            self.watching.metrics.network(allowed=attempt.allowed)

        return hear

    async def remove_left_behind(self) -> int:
        """Remove what workers that were killed have left of their sandboxes; return how much that was."""
        # Machines first: they are found by their folders.
        gone = await asyncio.to_thread(end_left_behind)
        if Tier.CONTAINER in self._strong:
            gone += await self._containers.remove_left_behind()
        gone += await asyncio.to_thread(remove_folders_left_behind)
        if self._place is not None:
            gone += await asyncio.to_thread(cgroups.remove_left_behind, self._place)
        return gone
