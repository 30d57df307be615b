"""Files of a sandbox as one archive, and back: regular files only, for nothing else is a sandbox's own."""

from __future__ import annotations

import asyncio
import io
import tarfile
from collections.abc import Iterable
from typing import Final

from pydantic import TypeAdapter

from minoots.contracts.sandboxes import FilePath
from minoots.errors import Failure, FailureKind

from .port import File, Sandbox

_MOST_FILES: Final = 10_000
_MEGABYTE: Final = 1024 * 1024
_MOST_HEADER: Final = 64 * 1024
"""Bytes of a header that goes before that of a file: a long name, or what PAX says of the file."""
_MOST_SAID: Final = 256
"""Things that PAX may say of all files that follow: each of them has a copy."""
_BEFORE_A_FILE: Final = frozenset(
    {
        tarfile.XHDTYPE,
        tarfile.XGLTYPE,
        tarfile.SOLARIS_XHDTYPE,
        tarfile.GNUTYPE_LONGNAME,
        tarfile.GNUTYPE_LONGLINK,
    }
)
_PATH: Final[TypeAdapter[str]] = TypeAdapter(FilePath)


class WithSnapshots(Sandbox):
    """A sandbox whose snapshots are its files, taken out and put in one by one."""

    async def snapshot(self, most: int) -> bytes:
        """Return the files of the working folder as a tar archive."""
        listing = await self.list(_MOST_FILES)
        if listing.cut:
            raise Failure(
                FailureKind.TOO_LARGE,
                f"the sandbox has more than the {_MOST_FILES} files of a snapshot",
                remedy="Remove some of them, or keep single files.",
            )
        files: list[tuple[File, bytes]] = []
        for file in listing.files:
            data = await self.get(file.path, most)
            most -= len(data)
            files.append((file, data))
        return await asyncio.to_thread(pack, files)

    async def restore(self, snapshot: bytes) -> None:
        """Put the files of a snapshot into the working folder."""
        most = self.limits.disk_mb * _MEGABYTE
        for file, data in await asyncio.to_thread(unpack, snapshot, most):
            await self.put(file.path, data, executable=file.executable)


def pack(files: Iterable[tuple[File, bytes]]) -> bytes:
    """Return files as a tar archive. The same files give the same bytes."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for file, data in files:
            about = tarfile.TarInfo(file.path)
            about.size = len(data)
            about.mode = 0o755 if file.executable else 0o644
            archive.addfile(about, io.BytesIO(data))
    return packed.getvalue()


def unpack(packed: bytes, most: int) -> list[tuple[File, bytes]]:
    """Return the files of an archive; links, devices and the like are left out.

    It may be a stranger's: a name leads nowhere else, and what is said to be large does not become so here.

    Args:
        packed: the archive.
        most: bytes of all files together.

    Raises:
        Failure: invalid, for bytes that are no archive, and for paths that are none below a working folder;
            too_large, beyond ``most`` bytes or the files of a snapshot.
    """
    found: list[tuple[File, bytes]] = []
    try:
        with tarfile.open(fileobj=io.BytesIO(packed), mode="r:", tarinfo=_Header) as archive:
            while (about := archive.next()) is not None:
                # It remembers all that it has read, and what PAX says of a file may be much.
                archive.members.clear()  # type: ignore[attr-defined]
                if about.size < 0:
                    raise ValueError("a file in it has a size below 0")
                if about.issparse():
                    raise ValueError("it is packed with holes (tar --sparse), and is read only without")
                if not about.isreg():
                    continue
                most -= about.size
                if most < 0 or len(found) >= _MOST_FILES:
                    raise Failure(
                        FailureKind.TOO_LARGE,
                        f"the snapshot has more bytes than limits.disk_mb, or more than {_MOST_FILES} files",
                        remedy="Raise limits.disk_mb, or take a smaller one.",
                    )
                content = archive.extractfile(about)
                if content is not None:
                    path = _PATH.validate_python(about.name)
                    found.append((File(path, about.size, bool(about.mode & 0o100)), content.read()))
    except (tarfile.TarError, OSError, ValueError, OverflowError, RecursionError) as error:
        raise Failure(
            FailureKind.INVALID, f"expected a snapshot of a sandbox; {error}", remedy="Take it anew."
        ) from error
    return found


class _Header(tarfile.TarInfo):
    """A header that a stranger may have written: one without end is refused before anything follows it."""

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        # What tarfile calls for subclasses. Sent back to where it has been, it would read for ever.
        if self.size < 0 or (self.type in _BEFORE_A_FILE and self.size > _MOST_HEADER):
            raise tarfile.ReadError(f"a header in it says that it has {self.size} bytes")
        if len(archive.pax_headers) > _MOST_SAID:
            raise tarfile.ReadError(f"it says more than {_MOST_SAID} things of all its files")
        found: tarfile.TarInfo = super()._proc_member(archive)  # type: ignore[misc]
        return found
