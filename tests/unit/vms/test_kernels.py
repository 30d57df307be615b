"""A kernel is taken out of its file, whatever it is packed by; what is none is refused."""

from __future__ import annotations

import gzip
import lzma
import struct

import pytest

from minoots_activities.vms import kernels
from minoots_activities.vms.faults import ImageFault

ELF = b"\x7fELF" + bytes(range(256)) * 40


def bzimage(payload: bytes, sectors: int = 1) -> bytes:
    """A kernel's file around what it is packed as."""
    head = bytearray((sectors + 1) * 512)
    head[0x1F1] = sectors
    head[0x202:0x206] = b"HdrS"
    struct.pack_into("<II", head, 0x248, 16, len(payload))
    return bytes(head) + b"\x00" * 16 + payload + b"behind"


SIZE = struct.pack("<I", len(ELF))


@pytest.mark.parametrize("payload", [ELF, gzip.compress(ELF) + SIZE, lzma.compress(ELF) + SIZE])
def test_it_is_the_same_whatever_it_was_packed_by(payload: bytes) -> None:
    assert kernels.unpacked(bzimage(payload)) == ELF


def lz4_file(*blocks: bytes) -> bytes:
    return b"\x02\x21\x4c\x18" + b"".join(struct.pack("<I", len(one)) + one for one in blocks)


def test_an_lz4_file_repeats_what_was_and_what_it_just_writes() -> None:
    # "abc"; 4 from 3 back; then "d", and 20 times what was last.
    first = b"\x30abc\x03\x00" + b"\x1fd\x01\x00\x01" + b"\x50-end."
    second = b"\xf0\x05" + b"x" * 20
    assert kernels.lz4(lz4_file(first, second)) == b"abcabca" + b"d" * 21 + b"-end." + b"x" * 20
    elf = b"\x40\x7fELF" + b"\x04\x00" + b"\x50tails"
    whole = kernels.unpacked(bzimage(lz4_file(elf) + b"size"))
    assert whole == b"\x7fELF\x7fELFtails"


@pytest.mark.parametrize(
    ("image", "says"),
    [
        (b"no kernel" * 200, "no bzImage"),
        (bzimage(b"packed by nobody"), "something else"),
        (bzimage(gzip.compress(b"no program") + SIZE), "no ELF"),
        (bzimage(lz4_file(b"\x00\x09\x00") + SIZE), "never there"),
        (bzimage(b"\x02\x21\x4c\x18\xff\x00\x00\x00\x10" + SIZE), "torn"),
        (bzimage(gzip.compress(ELF)[:50] + SIZE), "cannot be unpacked"),
    ],
)
def test_what_is_no_kernel_is_refused(image: bytes, says: str) -> None:
    with pytest.raises(ImageFault, match=says):
        kernels.unpacked(image)
