# SPDX-License-Identifier: Apache-2.0
"""Files handed over to a server on this machine, which reads them by itself."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from strongroom.format.lanes import MIN_SOURCE_BYTES, SOURCE_FILE_SYSTEMS

#: More than `struct statfs` has, whose first field is the type.
_STATFS_BYTES: Final = 256
#: A larger buffer is sent: handing it over takes as much memory once more.
_MAX_STAGED_BYTES: Final = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class HandedFile:
    """A file that may be handed over: as it was when it was opened.

    Attributes:
        descriptor: Of what it is in.
        size_bytes: Its size.
        modify_time_ns: When what it is in was last written to, since 1970.
        offset_bytes: Where it starts there.
    """

    descriptor: int
    size_bytes: int
    modify_time_ns: int
    offset_bytes: int = 0


def is_worth_handing(file: HandedFile) -> bool:
    """Tell whether the server is to read a file by itself, and would."""
    return (
        file.size_bytes >= MIN_SOURCE_BYTES
        and _file_system_of(file.descriptor) in SOURCE_FILE_SYSTEMS
    )


def is_worth_staging(size_bytes: int) -> bool:
    """Tell whether bytes in memory are to be handed over in memory of their own."""
    return MIN_SOURCE_BYTES <= size_bytes <= _MAX_STAGED_BYTES


@contextmanager
def staged(data: memoryview) -> Iterator[HandedFile]:
    """Lend a file in memory that holds a copy of `data`."""
    descriptor = os.memfd_create("strongroom-source", os.MFD_CLOEXEC)
    try:
        position = 0
        while position < len(data):
            position += os.write(descriptor, data[position:])
        yield HandedFile(descriptor, position, os.fstat(descriptor).st_mtime_ns)
    finally:
        os.close(descriptor)


def _file_system_of(descriptor: int) -> int:
    """Return the type of the file system; 0 if it cannot be told."""
    import ctypes  # noqa: PLC0415 - not for who only reads

    answer = (ctypes.c_long * (_STATFS_BYTES // ctypes.sizeof(ctypes.c_long)))()
    if ctypes.CDLL(None).fstatfs(descriptor, answer):
        return 0
    return int(answer[0]) & 0xFFFFFFFF
