"""Which modules a kernel needs before it sees its devices, in the order in which they have to be loaded."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from .faults import ImageFault

FIRST: Final = ("virtio_pci", "virtio_console", "virtio_rng")
"""Bus, serial port, and a source of randomness."""
VSOCK: Final = ("virtio_mmio", "vmw_vsock_virtio_transport")
"""What a machine of Firecracker takes besides: its bus, and the socket to the host."""
LATE: Final = ("virtio_blk",)
"""The disk: its driver keeps what it has learned of it, which must not be another machine's."""
_DEPENDS: Final = b"\x00depends="


def in_order(folder: Path, wanted: Iterable[str] = FIRST + LATE) -> list[Path]:
    """Return the modules below ``folder`` that ``wanted`` take, each after those that it depends on.

    What a kernel has built in has no file, and is not among them.

    Raises:
        ImageFault: there are no modules at all, or one is compressed.
    """
    known = {_name(path): path for path in folder.rglob("*.ko*")}
    if not known:
        raise ImageFault(
            f"there are no kernel modules below {folder}", "Use Debian's linux-image-cloud-amd64."
        )
    ordered: dict[str, Path] = {}

    def add(name: str) -> None:
        path = known.get(name)
        if path is None or name in ordered:
            return
        if path.suffix != ".ko":
            raise ImageFault(
                f"the kernel module {path.name} is compressed", "Use Debian's linux-image-cloud-amd64."
            )
        for dependency in _dependencies(path.read_bytes()):
            add(dependency)
        ordered[name] = path

    for name in wanted:
        add(name)
    return list(ordered.values())


def _name(path: Path) -> str:
    # Files say virtio-rng where modules say virtio_rng.
    return path.name.partition(".")[0].replace("-", "_")


def _dependencies(module: bytes) -> list[str]:
    begin = module.find(_DEPENDS)
    if begin < 0:
        return []
    begin += len(_DEPENDS)
    names = module[begin : module.index(b"\x00", begin)].decode("ascii", errors="replace")
    return [name.replace("-", "_") for name in names.split(",") if name]
