"""Taking a kernel out of the file that a boot loader starts: Firecracker wants the bare ELF.

Owns the two layers that Linux wraps around it on x86: the header of a bzImage, and a compression.
"""

from __future__ import annotations

import gzip
import lzma
import struct
import zlib
from typing import Final

from .faults import ImageFault

_SETUP_SECTORS: Final = 0x1F1
_MAGIC: Final = 0x202
_PAYLOAD: Final = struct.Struct("<II")
_PAYLOAD_AT: Final = 0x248
"""Where the header says where behind it the compressed kernel is, and how long (boot protocol 2.08)."""
_SECTOR: Final = 512
_ELF: Final = b"\x7fELF"
_LZ4: Final = b"\x02\x21\x4c\x18"
_MOST: Final = 512 * 1024 * 1024
_REMEDY: Final = "Use Debian's linux-image-cloud-amd64, or put its vmlinux in the image yourself."


def unpacked(image: bytes) -> bytes:
    """Return the ELF file of a kernel.

    Raises:
        ImageFault: it is no kernel for x86, or is compressed by what is not known here.
    """
    if len(image) < _SECTOR * 2 or image[_MAGIC : _MAGIC + 4] != b"HdrS":
        raise ImageFault("the kernel is no bzImage for x86", _REMEDY)
    begin, length = _PAYLOAD.unpack_from(image, _PAYLOAD_AT)
    begin += ((image[_SETUP_SECTORS] or 4) + 1) * _SECTOR
    payload = image[begin : begin + length]
    try:
        elf = _decompressed(payload)
    except (EOFError, IndexError, struct.error, lzma.LZMAError, OSError, ValueError, zlib.error) as error:
        raise ImageFault(f"the kernel cannot be unpacked: {error}", _REMEDY) from error
    if not elf.startswith(_ELF):
        raise ImageFault("what is in the kernel's file is no ELF", _REMEDY)
    return elf


def _decompressed(payload: bytes) -> bytes:
    if payload.startswith(_ELF):
        return payload
    # The last four bytes are the length of what comes out.
    if payload.startswith(b"\x1f\x8b"):
        return gzip.decompress(payload[:-4])
    if payload.startswith(b"\xfd7zXZ"):
        return lzma.LZMADecompressor().decompress(payload)
    if payload.startswith(_LZ4):
        return lz4(payload[:-4])
    raise ValueError(f"compressed by something else ({payload[:4].hex()})")


def lz4(data: bytes) -> bytes:
    """Return what is in an LZ4 file of the old format, which kernels are packed in.

    Raises:
        ValueError: it is none.
        IndexError: it is torn.
    """
    whole = bytearray()
    at = len(_LZ4)
    while at + 4 <= len(data):
        size = int.from_bytes(data[at : at + 4], "little")
        at += 4
        if at + size > len(data):
            raise ValueError("its last block is torn")
        whole += _block(data[at : at + size], _MOST - len(whole))
        at += size
    return bytes(whole)


def _block(data: bytes, most: int) -> bytearray:
    out = bytearray()
    at = 0
    while at < len(data):
        token = data[at]
        at += 1
        literals = token >> 4
        if literals == 15:
            literals, at = _longer(literals, data, at)
        out += data[at : at + literals]
        at += literals
        if at >= len(data):
            # The last part of a block repeats nothing.
            break
        back = data[at] | data[at + 1] << 8
        at += 2
        length = token & 15
        if length == 15:
            length, at = _longer(length, data, at)
        length += 4
        begin = len(out) - back
        if back == 0 or begin < 0:
            raise ValueError("it repeats what was never there")
        if length <= back:
            out += out[begin : begin + length]
        else:
            # It repeats what it is just writing.
            piece = bytes(out[begin:])
            out += (piece * (length // back + 1))[:length]
        if len(out) > most:
            raise ValueError("it is larger than any kernel")
    return out


def _longer(count: int, data: bytes, at: int) -> tuple[int, int]:
    while True:
        more = data[at]
        at += 1
        count += more
        if more != 255:
            return count, at
