# SPDX-License-Identifier: Apache-2.0
"""How the process keeps memory; a program may decide that, a library may not."""

import ctypes
from typing import Final

#: mallopt(3), and what a push needs anew for each block: it is reused instead of
#: being given back, which took a third of the client's processor time (measured).
_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
_KEPT_BYTES: Final = 64 << 20
_REUSED_BYTES: Final = 32 << 20


def reuse_memory() -> None:
    """Let glibc keep freed blocks for the next ones."""
    libc = ctypes.CDLL(None)
    # Other C libraries have neither this call nor the habit.
    if hasattr(libc, "mallopt"):
        libc.mallopt(_M_MMAP_THRESHOLD, _REUSED_BYTES)
        libc.mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
