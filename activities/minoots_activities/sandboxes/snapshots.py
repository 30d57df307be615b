"""Files of a sandbox as one archive, and back: regular files only, for nothing else is a sandbox's own."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable

from minoots.errors import Failure, FailureKind

from .port import File


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
