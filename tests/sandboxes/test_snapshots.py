"""Snapshots that somebody has made by hand: whatever is in them, they take no more than their own length."""

from __future__ import annotations

import io
import tarfile

import pytest

from minoots.errors import Failure, FailureKind
from minoots_activities.sandboxes.port import File
from minoots_activities.sandboxes.snapshots import pack, unpack

MEGABYTE = 1024 * 1024
END = bytes(1024)


def header(name: str, kind: bytes, size: int) -> bytes:
    """A header as it stands in an archive; with a size that tarfile itself would not write."""
    about = tarfile.TarInfo(name)
    about.type = kind
    written = bytearray(about.tobuf(tarfile.GNU_FORMAT))
    written[124:136] = (256**12 + size).to_bytes(13, "big")[-12:] if size < 0 else b"%011o\0" % size
    written[148:156] = b" " * 8
    written[148:156] = b"%06o\0 " % sum(written)
    return bytes(written)


def block(data: bytes) -> bytes:
    """Data as it stands in an archive."""
    return data + bytes(-len(data) % 512)


def with_holes(size: int) -> bytes:
    """An archive of a file that has nothing in it and is said to be large."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
        about = tarfile.TarInfo("large")
        about.pax_headers = {
            "GNU.sparse.major": "0",
            "GNU.sparse.minor": "1",
            "GNU.sparse.map": "0,0",
            "GNU.sparse.size": str(size),
        }
        archive.addfile(about)
    return packed.getvalue()


def said_of_all(count: int) -> bytes:
    """A header in which PAX says so many things of all files that follow."""
    said = b"".join(b"11 %06d=\n" % number for number in range(count))
    return header("g", tarfile.XGLTYPE, len(said)) + block(said)


@pytest.mark.parametrize(
    ("packed", "says"),
    [
        (with_holes(900 * MEGABYTE), "without"),
        (header("a", b"0", 0) + header("b", b"Z", -512) + END, "-512 bytes"),
        (header("a", b"0", 0) + header("b", b"0", -512) + END, "-512 bytes"),
        (said_of_all(9_000) + header("a", b"0", 0) + END, "99000 bytes"),
        (said_of_all(300) + header("a", b"0", 0) + END, "more than 256 things"),
        (said_of_all(1) * 3_000 + header("a", b"0", 0) + END, "expected a snapshot"),
        (header("l", tarfile.GNUTYPE_LONGNAME, MEGABYTE) + bytes(MEGABYTE) + END, "1048576 bytes"),
    ],
    ids=["holes", "backward", "backward_file", "long_pax", "much_pax", "nested", "long_name"],
)
def test_an_archive_made_to_take_much_is_refused(packed: bytes, says: str) -> None:
    with pytest.raises(Failure, match=says) as refused:
        unpack(packed, 1024 * MEGABYTE)
    assert refused.value.kind is FailureKind.INVALID


def test_what_tar_itself_writes_is_read() -> None:
    long = "folder/" * 30 + "naïve name.txt"
    files = [(File("a.txt", 5, executable=False), b"words"), (File(long, 3, executable=True), b"tea")]
    assert unpack(pack(files), MEGABYTE) == files
    for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        packed = io.BytesIO()
        with tarfile.open(
            fileobj=packed, mode="w", format=form, pax_headers={"comment": "by hand"}
        ) as archive:
            about = tarfile.TarInfo(long)
            about.size = 3
            archive.addfile(about, io.BytesIO(b"tea"))
        assert [(file.path, data) for file, data in unpack(packed.getvalue(), MEGABYTE)] == [(long, b"tea")]
