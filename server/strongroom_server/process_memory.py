# SPDX-License-Identifier: Apache-2.0
"""What the operating system is told about a server's memory, once, at its start."""

import ctypes
import gc
import resource
from typing import Final

#: prctl(2): whether the process may dump core or be traced by its user.
_PR_SET_DUMPABLE: Final = 4
#: mallopt(3): how many heaps. Two were as fast as one for each thread (measured).
_M_ARENA_MAX: Final = -8
HEAPS: Final = 2
#: The same: blocks up to this size come from a heap and are reused, and so much of
#: it stays when it is free. Fresh pages cost a tenth of a push (measured).
_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
REUSED_BYTES: Final = 32 << 20
KEPT_BYTES: Final = 64 << 20


def keep_private() -> None:
    """Let no core dump or debugger of the same user see keys and plaintext."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def keep_small() -> None:
    """Let glibc's threads share heaps, and reuse what is freed.

    A heap for each thread kept 100 MiB of freed blocks.
    """
    libc = ctypes.CDLL(None)
    # Other C libraries have neither this call nor the habit.
    if hasattr(libc, "mallopt"):
        libc.mallopt(_M_ARENA_MAX, HEAPS)
        libc.mallopt(_M_MMAP_THRESHOLD, REUSED_BYTES)
        libc.mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES)


def keep_settled() -> None:
    """Leave what is there now out of every search for garbage.

    A server that has started holds some hundred thousand objects that live as long as
    it does; going through them took a tenth of the time of a busy one (measured).
    """
    gc.collect()
    gc.freeze()
