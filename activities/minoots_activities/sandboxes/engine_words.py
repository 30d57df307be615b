"""What a container is to be, in the words of the engines: podman's and docker's.

Owns the command lines, and nothing else: pure. Both say the same walls; where one has no word for a wall, the
other's is not left out, but stands there in another form.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Kind = Literal["podman", "docker"]


@dataclass(frozen=True)
class Wanted:
    """A container.

    Attributes:
        name: what it is called.
        image: its root file system, by digest.
        size_mb: of each of its folders in memory.
        user: the number of the program's user and group.
        files: the most descriptors that a process may have.
        processes: the most processes that the user may have on the whole machine.
        folders: folders of this machine that it may read, by where they are inside.
        entry: what is run, with its arguments.
        as_worker: whether the program's user is the worker's own on the machine: who is not root can put no
            other's processes into a control group, and kill none.
    """

    name: str
    image: str
    size_mb: int
    user: int
    files: int
    processes: int
    folders: dict[str, Path]
    entry: tuple[str, ...]
    as_worker: bool = False


def podman_run(wanted: Wanted) -> list[str]:
    """Return what podman is told to run it, in the foreground."""
    # Owned by the program's user: where an image has such a folder, runc gives the new one its mode.
    memory = f"type=tmpfs,tmpfs-size={wanted.size_mb}m,tmpfs-mode=1777,U=true,notmpcopyup,destination="
    mine = ["--userns", f"keep-id:uid={wanted.user},gid={wanted.user}"] if wanted.as_worker else []
    return [
        "run", "--rm", *_common(wanted), *mine,
        "--no-hosts", "--http-proxy=false", "--read-only-tmpfs=false",
        # Volumes of an image would be folders of this machine without a size.
        "--image-volume", "ignore",
        "--mount", f"{memory}/work",
        "--mount", f"{memory}/tmp",  # noqa: S108 - the container's own
        *_what(wanted),
    ]  # fmt: skip


def docker_create(wanted: Wanted, volumes: Sequence[str]) -> list[str]:
    """Return what docker is told to make it.

    Args:
        wanted: the container.
        volumes: folders that the image wants to be written to: each is an empty one that cannot be.
    """
    # Without exec nothing in them could be run; ``--mount`` has no word for that.
    memory = f":rw,exec,nosuid,nodev,size={wanted.size_mb}m,mode=1777"
    closed = [
        part for path in volumes for part in ("--mount", f"type=tmpfs,dst={path},tmpfs-size=4096,readonly")
    ]
    return [
        "create", "--rm", *_common(wanted),
        *closed,
        "--tmpfs", f"/work{memory}",
        "--tmpfs", f"/tmp{memory}",  # noqa: S108 - the container's own
        *_what(wanted),
    ]  # fmt: skip


def removal(kind: Kind, name: str) -> list[str]:
    """Return what an engine is told to end a container and remove it, at once."""
    at_once = ["--time", "0", "--ignore"] if kind == "podman" else []
    return ["rm", "--force", "--volumes", *at_once, name]


def _common(wanted: Wanted) -> list[str]:
    return [
        "--name", wanted.name, "--pull", "never", "--log-driver", "none",
        "--network", "none", "--hostname", "sandbox",
        "--read-only", "--cap-drop", "all", "--security-opt", "no-new-privileges",
        # Health checks would be processes outside the group.
        "--no-healthcheck",
        "--user", f"{wanted.user}:{wanted.user}",
        "--ulimit", f"nofile={wanted.files}:{wanted.files}",
        "--ulimit", f"nproc={wanted.processes}:{wanted.processes}",
        "--shm-size", f"{wanted.size_mb}m",
    ]  # fmt: skip


def _what(wanted: Wanted) -> list[str]:
    seen = (f"{here}:{inside}:ro" for inside, here in wanted.folders.items())
    folders = [part for one in seen for part in ("--volume", one)]
    loader, *arguments = wanted.entry
    return [*folders, "--workdir", "/work", "--entrypoint", loader, wanted.image, *arguments]
