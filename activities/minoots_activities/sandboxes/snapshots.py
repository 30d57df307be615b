"""Files of a sandbox as one archive, and back: regular files only, for nothing else is a sandbox's own."""

from __future__ import annotations

import asyncio
import io
import tarfile
from collections.abc import Iterable
from typing import Final

from minoots.errors import Failure, FailureKind

from .port import File, Sandbox

_MOST_FILES: Final = 10_000


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
        for file, data in await asyncio.to_thread(unpack, snapshot):
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


def unpack(packed: bytes) -> list[tuple[File, bytes]]:
    """Return the files of an archive; links, devices and the like are left out.

    Raises:
        Failure: invalid, for bytes that are no archive.
    """
    found = []
    try:
        with tarfile.open(fileobj=io.BytesIO(packed), mode="r:") as archive:
            for about in archive:
                content = archive.extractfile(about) if about.isreg() else None
                if content is not None:
                    file = File(about.name, about.size, bool(about.mode & 0o100))
                    found.append((file, content.read()))
    except (tarfile.TarError, OSError, ValueError) as error:
        raise Failure(
            FailureKind.INVALID, f"expected a snapshot of a sandbox; {error}", remedy="Take it anew."
        ) from error
    return found
