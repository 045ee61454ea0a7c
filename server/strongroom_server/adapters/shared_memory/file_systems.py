# SPDX-License-Identifier: Apache-2.0
"""Tells where a file lies without a question to its file system.

A file system in another process (FUSE), or on another machine, may never answer, not
even to `fstat` or `fstatfs`. What is asked here, the kernel answers by itself.
"""

import ctypes
import fcntl
from pathlib import Path
from typing import Final

#: As the kernel names them. An overlay is below only what this process has mounted,
#: which takes an administrator: anybody can make one over FUSE in their own namespace.
_LOCAL_TYPES: Final = frozenset(
    {
        "bcachefs",
        "btrfs",
        "ext2",
        "ext3",
        "ext4",
        "f2fs",
        "overlay",
        "ramfs",
        "tmpfs",
        "xfs",
        "zfs",
    }
)
#: linux/fcntl.h, linux/stat.h.
_AT_EMPTY_PATH: Final = 0x1000
_AT_STATX_DONT_SYNC: Final = 0x4000
_STATX_BYTES: Final = 256
#: Where `struct statx` has the device: major and minor, 4 bytes each.
_DEVICE_FIELD: Final = 136 // 4


def is_local(descriptor: int) -> bool:
    """Tell whether a file lies in memory or in a file system of this machine.

    Memory is known by itself, wherever it was made. Other files are, by their mount
    or by the disk that they lie on, if this process has it mounted, too.
    """
    try:
        fcntl.fcntl(descriptor, fcntl.F_GET_SEALS)
    except OSError:
        pass  # Only memory has seals: tmpfs and hugetlbfs.
    else:
        return True
    try:
        return _mounted_type(descriptor) in _LOCAL_TYPES
    except (OSError, ValueError, AttributeError):  # No /proc, or no statx.
        return False


def _mounted_type(descriptor: int) -> str:
    mount, device = _mount_of(descriptor), _disk_of(descriptor)
    by_disk = ""
    for line in Path("/proc/self/mountinfo").read_text("utf-8", "replace").splitlines():
        fields = line.split(" ")
        # Optional fields come before the dash; no other field is one.
        file_system = fields[fields.index("-") + 1]
        if fields[0] == mount:
            return file_system
        if fields[2] == device:
            by_disk = file_system
    return by_disk


def _mount_of(descriptor: int) -> str:
    for line in Path(f"/proc/self/fdinfo/{descriptor}").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "mnt_id":
            return value.strip()
    return ""


def _disk_of(descriptor: int) -> str:
    """Return "major:minor" of the disk; nothing if there is none below."""
    answer = (ctypes.c_uint32 * (_STATX_BYTES // 4))()
    flags = _AT_EMPTY_PATH | _AT_STATX_DONT_SYNC
    # Nothing is asked for, so that FUSE and NFS need not ask; the device comes always.
    if _LIBC.statx(descriptor, b"", flags, 0, answer):
        return ""
    major, minor = answer[_DEVICE_FIELD], answer[_DEVICE_FIELD + 1]
    # What has no disk has major 0.
    return f"{major}:{minor}" if major else ""


_LIBC: Final = ctypes.CDLL(None)
