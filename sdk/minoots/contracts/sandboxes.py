"""Sandboxes on the wire: how strongly a program is shut in, and how much it may take."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Final

from pydantic import AfterValidator, Field

from .base import Duration, Matching, Part

MAX_TIME: Final = timedelta(hours=24)
"""Longest that a program may run, and a job may take."""

FILE_PATH_PATTERN: Final = r"^[^/\x00-\x1f\x7f\ud800-\udfff][^\x00-\x1f\x7f\ud800-\udfff]{0,511}$"
_FILE_PATH: Final = "a path below the working folder: 1 to 512 characters on one line, no / before"


def _below(value: str) -> str:
    if any(part in ("", ".", "..") for part in value.split("/")):
        raise ValueError("expected a path below the working folder, without . and .. and //")
    return value


FilePath = Annotated[str, Matching(FILE_PATH_PATTERN, _FILE_PATH), AfterValidator(_below)]
"""A file of a sandbox, from its working folder on."""


def _pattern_below(value: str) -> str:
    if any(part in ("", ".", "..") for part in value.removesuffix("/").split("/")):
        raise ValueError("expected a path or pattern below the working folder, without . and .. and //")
    return value


FilePattern = Annotated[
    str,
    Matching(
        FILE_PATH_PATTERN,
        "a path or pattern below the working folder: 1 to 512 characters on one line, no / before",
    ),
    AfterValidator(_pattern_below),
]
"""Files of a sandbox below its working folder, with ``*``, ``?`` and ``**`` for any; a folder means all that
is in it."""


_LABEL: Final = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
NETWORK_HOST_PATTERN: Final = (
    rf"^(?=.{{1,253}}$)(?:\*|(?:\*\.)?{_LABEL}(?:\.{_LABEL}){{0,63}}|\[[0-9a-f:.]{{2,45}}\])"
    r"(?::[1-9][0-9]{0,4})?$"
)


def _port(value: str) -> str:
    digits = value.rpartition(":")[2]
    if digits.isdigit() and not value.endswith("]") and int(digits) > 65535:
        raise ValueError("expected a port from 1 to 65535")
    return value


NetworkHost = Annotated[
    str,
    Matching(
        NETWORK_HOST_PATTERN,
        "a host in lower case, such as example.org, *.example.org (what is below it) or example.org:8443",
    ),
    AfterValidator(_port),
]
"""Hosts of the network: by name, below a name, or ``*``; without a port, the ports 80 and 443 are meant."""


IMAGE_PATTERN: Final = r"^(?=.{1,255}$)[a-z0-9][a-z0-9._:/-]*@sha256:[0-9a-f]{64}$"

ImageReference = Annotated[
    str, Matching(IMAGE_PATTERN, "an image by digest, such as registry.example/name@sha256:0123…")
]
"""An image of containers. By digest alone: what a tag names changes."""


SANDBOX_ID_PATTERN: Final = r"^sbx_[0-7][0-9A-HJKMNP-TV-Z]{25}$"

SandboxId = Annotated[str, Matching(SANDBOX_ID_PATTERN, "the id of a sandbox that stands: sbx_…")]


class Tier(StrEnum):
    """How strongly a program is shut in, the weakest first. What a machine cannot give is never replaced."""

    PROCESS = "process"
    """A process like any other, with limits: for development, and refused unless settings allow it."""
    BUBBLEWRAP = "bubblewrap"
    """Namespaces, no network, a read-only system, limits and a filter of system calls."""
    CONTAINER = "container"
    """A root file system of an image, read-only, by podman or docker; no network, no rights, limits."""
    VM = "vm"
    """A virtual machine: a kernel of its own, no network, and no more than the programs of its image."""


def _time(value: timedelta) -> timedelta:
    if not timedelta(0) < value <= MAX_TIME:
        raise ValueError("expected a time of up to 24h")
    return value


RunTime = Annotated[Duration, AfterValidator(_time)]
"""How long something may run: up to `MAX_TIME`."""


class Limits(Part):
    """How much a program may take."""

    time: RunTime = timedelta(seconds=60)
    """From its start to its end; then it is killed."""
    memory_mb: Annotated[int, Field(ge=16, le=1_048_576)] = 512
    """Megabytes of memory, of all of its processes together where the machine has cgroups."""
    cpus: Annotated[float, Field(gt=0, le=256)] = 1.0
    """Processors that it may keep busy, where the machine has cgroups."""
    processes: Annotated[int, Field(ge=1, le=4096)] = 64
    disk_mb: Annotated[int, Field(ge=1, le=1_048_576)] = 256
    """Megabytes of its working folder, and as many again of its /tmp."""
    output_kb: Annotated[int, Field(ge=1, le=65_536)] = 1024
    """Kilobytes that it may write to its standard output and error; then it is killed."""
