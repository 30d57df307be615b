"""Building an image from Debian's packages and the guest's own source.

Owns the build; nothing of it is needed where machines are only run. What is missing on the machine that
builds is said before anything is fetched.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from . import images, kernels, modules
from .cpio import Archive
from .faults import ImageFault
from .guest import VERSION

KERNEL_PACKAGE: Final = "linux-image-cloud-amd64"
BUSYBOX_PACKAGE: Final = "busybox-static"
_SOURCE: Final = Path(__file__).with_name("guest") / "init.c"
_FOLDERS: Final = ("bin", "dev", "etc", "modules", "proc", "root", "sys", "tmp", "usr", "usr/bin", "work")
_USERS: Final = b"root:x:0:0:root:/root:/bin/sh\njob:x:1000:1000:job:/work:/bin/sh\n"
_GROUPS: Final = b"root:x:0:\njob:x:1000:\n"
_TOOLS: Final = {
    "dpkg-deb": "dpkg",
    "gcc": "gcc libc6-dev",
}
"""What building takes, and the package that has it."""
_PATIENCE: Final = 600


def build(folder: Path, packages: Sequence[Path] = (), *, unpacked_kernel: bool = False) -> images.Image:
    """Build an image into ``folder`` and return it; what was there is replaced when the new one is whole.

    Args:
        folder: where it goes.
        packages: Debian packages (kernel and busybox-static) that are here already; else they are fetched
            by apt.
        unpacked_kernel: whether the kernel is put there unpacked, too, as Firecracker takes it.

    Raises:
        ImageFault: it cannot be built; nothing is changed.
    """
    _require_tools(fetching=not packages)
    folder = folder.absolute()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="minoots-image-", dir=folder.parent) as name:
        work = Path(name)
        files = [path.absolute() for path in packages] or _fetch(work)
        unpacked = work / "unpacked"
        versions = dict(_unpack(file, unpacked) for file in files)
        made = work / "made"
        made.mkdir()
        kernel = _only(unpacked / "boot", "vmlinuz-*", "a kernel")
        shutil.copyfile(kernel, made / images.KERNEL)
        if unpacked_kernel:
            (made / images.UNPACKED_KERNEL).write_bytes(kernels.unpacked(kernel.read_bytes()))
        busybox = _only(unpacked, "**/bin/busybox", "busybox")
        (made / images.INITRAMFS).write_bytes(_initramfs(work, unpacked, busybox))
        images.describe(made, images.About(VERSION, "x86_64", versions, images.sums(made)))
        _replace(made, folder)
    return images.load(folder, VERSION)


def _require_tools(*, fetching: bool) -> None:
    if platform.machine() not in ("x86_64", "AMD64"):
        raise ImageFault(
            f"images can be built for x86_64 only; this machine is {platform.machine()}",
            "Build it on an x86_64 machine and copy the folder.",
        )
    tools = {**_TOOLS, "apt-get": "apt"} if fetching else _TOOLS
    missing = {package for tool, package in tools.items() if shutil.which(tool) is None}
    if missing:
        raise ImageFault(
            f"building an image takes programs that are not here: {', '.join(sorted(missing))}",
            "Install them on a Debian or Ubuntu machine: apt-get install " + " ".join(sorted(missing)),
        )


def _fetch(work: Path) -> list[Path]:
    """Have apt fetch the packages, and return where they are."""
    said = _run(["apt-cache", "depends", KERNEL_PACKAGE], work)
    names = [
        line.split()[-1] for line in said.splitlines() if line.strip().startswith("Depends: linux-image")
    ]
    if not names:
        raise ImageFault(f"apt knows no {KERNEL_PACKAGE}", "Run apt-get update, or give --package twice.")
    _run(["apt-get", "download", names[0], BUSYBOX_PACKAGE], work)
    return sorted(work.glob("*.deb"))


def _unpack(package: Path, into: Path) -> tuple[str, str]:
    """Unpack a package and return its name and version."""
    _run(["dpkg-deb", "--extract", str(package), str(into)], package.parent)
    name = _run(["dpkg-deb", "--field", str(package), "Package"], package.parent).strip()
    return name, _run(["dpkg-deb", "--field", str(package), "Version"], package.parent).strip()


def _only(folder: Path, pattern: str, what: str) -> Path:
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        raise ImageFault(
            f"the packages hold {len(found)} times {what}, expected once",
            f"Give one kernel (such as {KERNEL_PACKAGE} depends on) and {BUSYBOX_PACKAGE}.",
        )
    return found[0]


def _initramfs(work: Path, unpacked: Path, busybox: Path) -> bytes:
    init = work / "init"
    _run(["gcc", "-static", "-Os", "-s", "-Wall", "-Wextra", "-o", str(init), str(_SOURCE)], work)
    archive = Archive()
    for name in _FOLDERS:
        archive.folder(name)
    archive.file("init", init.read_bytes(), executable=True)
    archive.file("bin/busybox", busybox.read_bytes(), executable=True)
    for applet in _run([str(busybox), "--list"], work).split():
        if applet != "busybox":
            archive.link(f"bin/{applet}", "busybox")
    archive.file("etc/passwd", _USERS)
    archive.file("etc/group", _GROUPS)
    first = modules.in_order(unpacked, modules.FIRST)
    lists = {"order": first}
    for name, wanted in (("vsock", modules.VSOCK), ("late", modules.LATE)):
        lists[name] = [path for path in modules.in_order(unpacked, wanted) if path not in first]
    for name, ordered in lists.items():
        archive.file(f"modules/{name}", "".join(f"/modules/{path.name}\n" for path in ordered).encode())
        for path in ordered:
            archive.file(f"modules/{path.name}", path.read_bytes())
    return archive.close()


def _replace(made: Path, folder: Path) -> None:
    """Put a folder in the place of another: there is a whole one or none, never a half."""
    old = made.with_name("old")
    if folder.exists():
        os.replace(folder, old)
    os.replace(made, folder)


def _run(command: list[str], folder: Path) -> str:
    try:
        done = subprocess.run(  # noqa: S603 - names of ours, and files that the caller gave
            command, cwd=folder, capture_output=True, text=True, timeout=_PATIENCE, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ImageFault(f"{command[0]} failed: {error}", "Put that right and build again.") from error
    if done.returncode != 0:
        said = done.stderr.strip()[-500:] or f"exit code {done.returncode}"
        raise ImageFault(f"{command[0]} failed: {said}", "Put that right and build again.")
    return done.stdout
