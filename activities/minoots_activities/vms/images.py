"""What a machine is started from: a kernel and its first file system, and what is known of them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from .faults import ImageFault

KERNEL: Final = "vmlinuz"
UNPACKED_KERNEL: Final = "vmlinux"
INITRAMFS: Final = "initramfs"
MANIFEST: Final = "image.json"
_BUILD: Final = "Build one: minoots vm build-image"


@dataclass(frozen=True)
class About:
    """What an image was made of.

    Attributes:
        protocol: version of the wire that its guest speaks.
        packages: Debian's packages in it, by name and version.
        sha256: of its files, by name.
    """

    protocol: int
    architecture: str
    packages: dict[str, str]
    sha256: dict[str, str]


@dataclass(frozen=True)
class Image:
    """An image on this machine."""

    folder: Path
    about: About

    @property
    def kernel(self) -> Path:
        """The kernel."""
        return self.folder / KERNEL

    @property
    def unpacked_kernel(self) -> Path | None:
        """The kernel as an ELF file, where the image has it."""
        return self.folder / UNPACKED_KERNEL if UNPACKED_KERNEL in self.about.sha256 else None

    @property
    def initramfs(self) -> Path:
        """The file system that it starts with."""
        return self.folder / INITRAMFS

    @property
    def digest(self) -> str:
        """What tells it from every other image."""
        return hashlib.sha256(json.dumps(self.about.sha256, sort_keys=True).encode()).hexdigest()


def load(folder: Path, protocol: int) -> Image:
    """Return the image in ``folder``, when it is whole and of this version.

    Raises:
        ImageFault: there is none, it was changed, or it is of another version.
    """
    try:
        about = About(**json.loads((folder / MANIFEST).read_text()))
        found = sums(folder)
    except FileNotFoundError:
        raise ImageFault(f"there is no image of a machine in {folder}", _BUILD) from None
    except (OSError, ValueError, TypeError) as error:
        raise ImageFault(f"the image in {folder} cannot be read: {error}", _BUILD) from None
    if about.protocol != protocol:
        raise ImageFault(
            f"the image in {folder} is of version {about.protocol}; this is version {protocol}", _BUILD
        )
    for name, expected in about.sha256.items():
        if found.get(name) != expected:
            raise ImageFault(f"{folder / name} is not what was built", _BUILD)
    return Image(folder, about)


def describe(folder: Path, about: About) -> None:
    """Write what is known of an image beside it; it is whole from then on."""
    (folder / MANIFEST).write_text(json.dumps(asdict(about), indent=2) + "\n")


def sums(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each of an image's files.

    Raises:
        OSError: one is missing or cannot be read.
    """
    names = [KERNEL, INITRAMFS]
    if (folder / UNPACKED_KERNEL).exists():
        names.append(UNPACKED_KERNEL)
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}
