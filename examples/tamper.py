# SPDX-License-Identifier: Apache-2.0
"""Change one stored byte below S3: on the disk of SeaweedFS, checksum and all.

An overwrite through S3 makes a new version of the object and changes nothing
for a reader that names its version. So this goes where a rotten disk or an
intruder with root would go: into SeaweedFS's volume files. SeaweedFS keeps a
CRC-32C of each piece, which an intruder corrects, and so do we: what is left to
notice the byte is Strongroom.

A volume file is a header of 8 bytes and then needles: cookie (4), id (8),
body size (4), body, CRC-32C of the data in it (4), time (8), 1 to 8 bytes of
padding. A body starts with the size of the data (4) and the data. All integers
are big-endian.
"""

import contextlib
import mmap
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_SUPER_BLOCK_BYTES: Final = 8
_NEEDLE_HEADER: Final = struct.Struct(">4x8xI")
_DATA_SIZE: Final = struct.Struct(">I")
_CHECKSUM: Final = struct.Struct(">I")
_TIME_BYTES: Final = 8
_ALIGNMENT: Final = 8
#: Enough of a ciphertext to be found once and nowhere else.
PROBE_BYTES: Final = 64


class TamperError(Exception):
    """The byte could not be changed; what is stored is as it was."""


@dataclass(frozen=True, slots=True)
class StoredByte:
    """Where one byte of an object lies on SeaweedFS's disk.

    Attributes:
        volume: The volume file.
        position: The byte's position in it.
        data_start: Where the data of its needle starts.
        data_size: Size of that data in bytes.
        checksum_position: Where the needle's checksum lies.
    """

    volume: Path
    position: int
    data_start: int
    data_size: int
    checksum_position: int


def find_stored_byte(folder: Path, probe: bytes) -> StoredByte:
    """Find the byte in the middle of `probe` in the volume files below `folder`.

    Args:
        folder: SeaweedFS's data.
        probe: `PROBE_BYTES` of the object as S3 gives them out.

    Raises:
        TamperError: If the bytes are in no volume file, or not in one needle.
    """
    for volume in sorted(folder.rglob("*.dat")):
        if volume.stat().st_size <= _SUPER_BLOCK_BYTES:
            continue
        with (
            volume.open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
        ):
            start = content.find(probe)
            if start >= 0:
                return _locate(volume, content, start + len(probe) // 2)
    raise TamperError(f"no volume file below {folder} holds these {len(probe)} bytes")


@contextlib.contextmanager
def flipped(byte: StoredByte) -> Iterator[tuple[int, int]]:
    """Flip the lowest bit of `byte`; put the right byte back when left.

    Yields:
        The byte as it was and as it is now.

    Raises:
        TamperError: If SeaweedFS's checksum is not the CRC-32C that we know.
    """
    with byte.volume.open("r+b", buffering=0) as file:
        disk = file.fileno()
        before = os.pread(disk, byte.data_size, byte.data_start)
        checksum = os.pread(disk, _CHECKSUM.size, byte.checksum_position)
        if checksum != _CHECKSUM.pack(crc32c(before)):
            raise TamperError(f"{byte.volume.name} checks its data in another way")
        index = byte.position - byte.data_start
        after = bytearray(before)
        after[index] ^= 1
        forged = _CHECKSUM.pack(crc32c(after))
        try:
            os.pwrite(disk, after[index : index + 1], byte.position)
            os.pwrite(disk, forged, byte.checksum_position)
            yield before[index], after[index]
        finally:
            os.pwrite(disk, before[index : index + 1], byte.position)
            os.pwrite(disk, checksum, byte.checksum_position)


def crc32c(data: bytes | bytearray) -> int:
    """Return the CRC-32C (Castagnoli) of `data`."""
    value = 0xFFFFFFFF
    for byte in data:
        value = _CRC_TABLE[(value ^ byte) & 0xFF] ^ (value >> 8)
    return value ^ 0xFFFFFFFF


def _locate(volume: Path, content: mmap.mmap, position: int) -> StoredByte:
    """Find the needle around `position` by walking from the first one."""
    needle = _SUPER_BLOCK_BYTES
    while needle + _NEEDLE_HEADER.size <= len(content):
        (body_size,) = _NEEDLE_HEADER.unpack_from(content, needle)
        body = needle + _NEEDLE_HEADER.size
        checksum = body + body_size
        if body <= position < checksum:
            (data_size,) = _DATA_SIZE.unpack_from(content, body)
            return StoredByte(
                volume=volume,
                position=position,
                data_start=body + _DATA_SIZE.size,
                data_size=data_size,
                checksum_position=checksum,
            )
        end = checksum + _CHECKSUM.size + _TIME_BYTES
        needle = end + _ALIGNMENT - end % _ALIGNMENT
    raise TamperError(f"{volume.name} has no needle around byte {position}")


def _crc_table() -> tuple[int, ...]:
    """Return the table of the reversed polynomial 0x1EDC6F41."""
    table = []
    for start in range(256):
        value = start
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return tuple(table)


_CRC_TABLE: Final = _crc_table()
