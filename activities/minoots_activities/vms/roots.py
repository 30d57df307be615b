"""Root file systems for programs in machines: archives that the operator has added, each by its hash.

Owns the folder in which they are. What is in it may be used by every job, and nothing else: none is fetched,
and none is added for a job. Whatever a name says, the hash of the archive is what is meant.
"""

from __future__ import annotations

import copy
import hashlib
import json
import os
import re
import tarfile
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from minoots.contracts.sandboxes import IMAGE_PATTERN
from minoots.errors import FailureKind
from minoots_activities.sandboxes.port import NeverStarted

from . import disks, programs
from .faults import ImageFault

SHARED: Final = ("proc", "dev", "sys", "tmp", "work")
"""Folders that a machine puts over those of a root."""
_MEGABYTE: Final = 1024 * 1024
_BLOCK: Final = 4096
_PIECE: Final = 1024 * 1024
_SPARE_MB: Final = 16
_SPARE_FILES: Final = 1024
_REMEDY: Final = "Add one: minoots vm add-root NAME ARCHIVE; or leave image out."


@dataclass(frozen=True)
class Root:
    """One of them.

    Attributes:
        reference: what jobs call it: ``name@sha256:…``, the hash of the archive that it was made of.
        bytes: of its file, which says whether it is whole.
    """

    reference: str
    bytes: int


class Roots:
    """The roots of one host.

    Args:
        folder: where they are.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def all(self) -> list[Root]:
        """Return what there is."""
        return [Root(**json.loads(path.read_text())) for path in sorted(self._folder.glob("*.json"))]

    def find(self, reference: str) -> Path:
        """Return the file of a root.

        Raises:
            NeverStarted: there is none of this hash.
        """
        digest = reference.rpartition(":")[2]
        about, disk = self._folder / f"{digest}.json", self._folder / f"{digest}.ext4"
        try:
            if not re.match(IMAGE_PATTERN, reference) or disk.stat().st_size != _read(about).bytes:
                raise no_root(reference)
        except (OSError, ValueError, TypeError):
            raise no_root(reference) from None
        return disk

    def add(self, name: str, archive: Path) -> Root:
        """Make a root of a tar archive, such as ``podman export`` writes; return it.

        Raises:
            ImageFault: it cannot be made; nothing is changed.
        """
        digest = _hash(archive)
        reference = f"{name}@sha256:{digest}"
        if not re.match(IMAGE_PATTERN, reference):
            raise ImageFault(f"{name!r} is no name of a root", "Use small letters, digits and . _ : / -")
        found = programs.find(disks.MKFS)
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="new-", dir=self._folder) as work:
            files, disk = Path(work, "files"), Path(work, "disk")
            files.mkdir()
            _unpack(archive, files)
            _require_shared(files)
            disks.fill(found["mkfs.ext4"], disk, files, *_size(files))
            os.chmod(disk, 0o444)
            root = Root(reference, disk.stat().st_size)
            os.replace(disk, self._folder / f"{digest}.ext4")
            # Last: it is whole from then on.
            about = Path(work, "about")
            about.write_text(json.dumps(asdict(root)) + "\n")
            os.replace(about, self._folder / f"{digest}.json")
        return root


def no_root(reference: str) -> NeverStarted:
    """Return the error of an image that is not here."""
    return NeverStarted(
        FailureKind.INVALID, f"this worker has no root for machines {reference[:255]}", remedy=_REMEDY
    )


def _read(about: Path) -> Root:
    return Root(**json.loads(about.read_text()))


def _hash(archive: Path) -> str:
    sum_of_it = hashlib.sha256()
    try:
        with archive.open("rb") as file:
            while piece := file.read(_PIECE):
                sum_of_it.update(piece)
    except OSError as error:
        raise ImageFault(f"{archive} cannot be read: {error}", "Name a tar archive.") from error
    return sum_of_it.hexdigest()


def _unpack(archive: Path, folder: Path) -> None:
    """Unpack files, folders and links; nothing lands outside of ``folder``, and nothing there is touched."""
    try:
        with tarfile.open(archive) as packed:
            for member in packed:
                # Devices and the like are the machine's own.
                if member.isreg() or member.isdir() or member.issym() or member.islnk():
                    packed.extract(_second_name(member, folder), folder, numeric_owner=True, filter="tar")
    # KeyError: a second name of what is not there.
    except (tarfile.TarError, OSError, EOFError, KeyError) as error:
        raise ImageFault(f"{archive} cannot be unpacked: {error}", "Name a whole tar archive.") from error


def _second_name(member: tarfile.TarInfo, folder: Path) -> tarfile.TarInfo:
    """Return what a member is unpacked as: a second name of a link becomes a link of its own.

    Owner and mode of a second name are set on what it names. That is never to be a file of this machine.

    Raises:
        TarError: it would name something outside of ``folder``.
    """
    if not member.islnk():
        return member
    own = copy.copy(member)
    # As with names: from the root of the archive on, and not of this machine.
    own.linkname = member.linkname.lstrip("/")
    named = folder / own.linkname
    within = Path(os.path.realpath(named.parent))
    if named.name in ("", "..") or not within.is_relative_to(os.path.realpath(folder)):
        raise tarfile.TarError(f"{member.name} is a second name of something outside of it")
    if named.is_symlink():
        own.type, own.linkname = tarfile.SYMTYPE, os.readlink(named)
    return own


def _require_shared(files: Path) -> None:
    files.chmod(0o755)
    for name in SHARED:
        folder = files / name
        if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
            raise ImageFault(
                f"/{name} in the archive is no folder", "Make it one: the machine's own goes there."
            )
        folder.mkdir(exist_ok=True)


def _size(files: Path) -> tuple[int, int]:
    """Return how many megabytes and how many files a disk takes that holds them all."""
    blocks = count = 0
    for folder, folders, names in os.walk(files):
        count += len(folders) + len(names)
        blocks += len(folders)
        for name in names:
            blocks += -(-Path(folder, name).lstat().st_size // _BLOCK)
    # A file takes 256 bytes beside its content; a twentieth is for the rest that a file system keeps.
    most = int((blocks * _BLOCK + (count + _SPARE_FILES) * 256) * 1.05)
    return most // _MEGABYTE + _SPARE_MB, count + _SPARE_FILES
