"""The settings of sandboxes: what programs may have of a worker's machine, and of the network.

Owns names and defaults; the descriptions here are what the reference documentation prints.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from minoots.contracts.sandboxes import ImageReference, NetworkHost

from .kinds import LocalPath, Network, Text
from .sections import Section


class NetworkSettings(Section):
    """What programs in sandboxes may reach of the network; by default nothing."""

    hosts: tuple[NetworkHost, ...] = Field(
        (),
        max_length=256,
        description="Hosts that jobs may name, such as `example.org`, `*.example.org`, `host:8443` or `*`.",
    )
    allowed_networks: tuple[Network, ...] = Field(
        (),
        max_length=64,
        description="Networks these hosts may be in although they are not public, such as `10.0.0.0/8`.",
    )
    max_megabytes: int = Field(
        256, ge=1, le=1_048_576, description="Megabytes of one sandbox, both ways together."
    )
    at_once: int = Field(32, ge=1, le=1000, description="Connections of one sandbox at a time.")
    max_connections: int = Field(
        1000, ge=1, le=1_000_000, description="Connections of one sandbox in all, refused ones included."
    )
    max_seconds: float = Field(300.0, ge=1, le=86_400, description="Seconds that one connection may last.")


class ContainerSettings(Section):
    """Containers that programs run in."""

    images: tuple[ImageReference, ...] = Field(
        (),
        max_length=256,
        description="Images that jobs may have, by digest; the first is that of jobs that name none. They "
        "have to be there: nothing is fetched.",
    )
    engine: str | None = Field(
        None,
        min_length=1,
        max_length=256,
        description="podman or docker, by name or path. Default: podman where it is, docker elsewhere.",
    )
    options: tuple[Text, ...] = Field(
        (),
        max_length=16,
        description="Options of the engine itself, such as `--cgroup-manager`, `cgroupfs`.",
    )


class StandingSettings(Section):
    """Sandboxes that stand until they are closed."""

    per_worker: int = Field(8, ge=1, le=1000, description="Sandboxes that one worker holds open at a time.")
    per_tenant: int = Field(10, ge=1, le=100_000, description="Sandboxes of one tenant at a time.")
    idle_timeout: float = Field(
        900.0,
        ge=1,
        le=86_400,
        description="Seconds that a sandbox which says nothing else may stand unused.",
    )
    lifetime: float = Field(
        3600.0, ge=1, le=86_400, description="Seconds that a sandbox which says nothing else may stand."
    )
    max_lifetime: float = Field(
        86_400.0, ge=1, le=86_400, description="Most seconds that a sandbox may ask to stand."
    )
    open_within: float = Field(
        60.0,
        ge=1,
        le=3600,
        description="Seconds within which a worker must have opened a sandbox, or it has failed.",
    )


class SandboxSettings(Section):
    """Sandboxes that programs run in."""

    allow_process: bool = Field(
        False, description="Whether the tier `process` may be used, which shuts nothing in: for development."
    )
    read_only: tuple[LocalPath, ...] = Field(
        (), max_length=64, description="Folders beside the system's that programs in sandboxes may read."
    )
    cgroups: bool = Field(
        True, description="Whether limits are held by control groups where these can be written."
    )
    at_once: int = Field(4, ge=1, le=1000, description="Sandboxes of one worker at a time.")
    ready: int = Field(
        2,
        ge=0,
        le=64,
        description="Sandboxes of the tier `bubblewrap` that a worker begins before they are asked for, of "
        "the size of files that was asked for last, so that the next one is there at once. Each takes ten "
        "megabytes; ten minutes after the last request they end. With 0 there are none.",
    )
    memory_mb: int | None = Field(
        None,
        ge=64,
        le=100_000_000,
        description="Megabytes of memory that the sandboxes of a machine have together; more wait. Default: "
        "all that the machine or the worker's control group has, but `spare_memory_mb`.",
    )
    spare_memory_mb: int = Field(
        512, ge=0, le=100_000_000, description="Megabytes that sandboxes leave to everything else."
    )
    tiers: tuple[Literal["bubblewrap", "container", "vm"], ...] = Field(
        ("bubblewrap", "container", "vm"),
        max_length=3,
        description="Tiers that may be used; `process` has the setting `allow_process`.",
    )
    max_memory_mb: int = Field(
        4096, ge=16, le=1_048_576, description="Most megabytes of memory that a job may give its sandbox."
    )
    max_disk_mb: int = Field(
        4096, ge=1, le=1_048_576, description="Most megabytes of files that a job may give its sandbox."
    )
    max_cpus: float = Field(4.0, gt=0, le=256, description="Most processors that a job may give its sandbox.")
    max_processes: int = Field(
        1024, ge=1, le=4096, description="Most processes that a job may give its sandbox."
    )
    network: NetworkSettings = Field(
        default_factory=NetworkSettings, description="The network of programs in sandboxes."
    )
    container: ContainerSettings = Field(
        default_factory=ContainerSettings, description="Containers that programs run in."
    )
    standing: StandingSettings = Field(
        default_factory=StandingSettings, description="Sandboxes that stand until they are closed."
    )
    vm_image: LocalPath | None = Field(
        None,
        description="Folder of the image of virtual machines. Default: `vm-image` in the data directory.",
    )
    vm_states: int = Field(
        4,
        ge=0,
        le=64,
        description="States of virtual machines that are kept in `vm-states` of the data directory, each of "
        "a hundred megabytes or more, so that the next machine of the same size starts several times faster. "
        "With 0 none is kept.",
    )
    vm_engine: Literal["qemu", "firecracker"] = Field(
        "qemu",
        description="What runs virtual machines. `firecracker` takes KVM and an image built with "
        "`--unpacked-kernel`, and has not been exercised on real hardware.",
    )
    firecracker: str = Field(
        "firecracker", min_length=1, max_length=256, description="Firecracker, by name or path; 1.8 or newer."
    )
    qemu: str = Field(
        "qemu-system-x86_64", min_length=1, max_length=256, description="QEMU, by name or path."
    )
