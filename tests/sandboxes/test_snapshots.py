"""Archives of strangers: what is no snapshot of ours is refused before it takes time or memory."""

from __future__ import annotations

import io
import tarfile

import pytest

from minoots.errors import Failure, FailureKind
from minoots_activities.sandboxes.port import File
from minoots_activities.sandboxes.snapshots import pack, unpack

MEGABYTE = 1024 * 1024


def archive(data: bytes, **headers: str) -> bytes:
    """An archive of one file, with what its header says besides."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as writing:
        about = tarfile.TarInfo("a")
        about.size = len(data)
        about.pax_headers = {name.replace("_", "."): value for name, value in headers.items()}
        writing.addfile(about, io.BytesIO(data))
    return packed.getvalue()


def test_what_was_packed_comes_out_again() -> None:
    files = [(File("notes/tea.md", 5, False), b"green"), (File("run", 0, True), b"")]
    assert unpack(pack(files), MEGABYTE) == files


@pytest.mark.parametrize(
    "packed",
    [
        archive(b"", GNU_sparse_map=f"{MEGABYTE},0", GNU_sparse_size=str(MEGABYTE)),
        archive(b"ab", GNU_sparse_map="0,1,8192,1", GNU_sparse_size="8193"),
        archive(b"", size="-1024"),
    ],
    ids=["a hole", "pieces", "less than nothing"],
)
def test_files_with_holes_or_of_less_than_no_bytes_are_refused(packed: bytes) -> None:
    with pytest.raises(Failure, match="expected a snapshot") as refused:
        unpack(packed, 16 * MEGABYTE)
    assert refused.value.kind is FailureKind.INVALID
