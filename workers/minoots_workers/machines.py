"""What runs virtual machines on this host, as settings say; never another than these name."""

from __future__ import annotations

from minoots_activities.vms.engines import Engine
from minoots_activities.vms.firecracker import Firecracker
from minoots_activities.vms.starting import Qemu
from minoots_activities.vms.states import States
from minoots_platform.settings import Settings


def engine_of(settings: Settings) -> Engine:
    """Return it."""
    sandbox = settings.sandbox
    if sandbox.vm_engine == "firecracker":
        return Firecracker(settings.vm_image, sandbox.firecracker)
    return Qemu(settings.vm_image, sandbox.qemu, States(settings.vm_states, sandbox.vm_states))
