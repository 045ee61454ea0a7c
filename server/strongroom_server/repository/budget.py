# SPDX-License-Identifier: Apache-2.0
"""A budget of bytes that all calls of one kind share, so that memory is bounded."""

import threading
from typing import Final

from strongroom.errors import Reason, UnavailableError

#: How long a writer waits for others' packs to become durable: longer than every
#: attempt at one of them may take.
TAKE_TIMEOUT_S: Final = 600.0


class ByteBudget:
    """So many bytes, taken and given back. Safe to use from many threads.

    Who takes more than there is, when nothing is taken, gets all there is: what
    is too large is slow, never stuck.
    """

    def __init__(self, size_bytes: int) -> None:
        self._size_bytes = size_bytes
        self._free_bytes = size_bytes
        self._changed = threading.Condition()
        self._waiting_count = 0

    @property
    def free_bytes(self) -> int:
        """How much could be taken now."""
        return self._free_bytes

    @property
    def is_contended(self) -> bool:
        """Whether somebody waits for bytes now."""
        return self._waiting_count > 0

    def try_take(self, size_bytes: int) -> bool:
        """Take bytes if they are there; return whether they were taken."""
        with self._changed:
            return self._take(size_bytes)

    def take(self, size_bytes: int, *, timeout_s: float = TAKE_TIMEOUT_S) -> None:
        """Wait until bytes are there, and take them.

        Whoever holds bytes must not wait for more, or two could wait for each
        other; only what gives them back by itself may hold them.

        Raises:
            UnavailableError: Nobody gave back enough in time (STORE_UNAVAILABLE).
        """
        with self._changed:
            self._waiting_count += 1
            try:
                taken = self._changed.wait_for(
                    lambda: self._take(size_bytes), timeout_s
                )
            finally:
                self._waiting_count -= 1
            if not taken:
                raise UnavailableError(
                    f"other calls gave no memory back within {timeout_s:g} seconds: "
                    "their bytes did not come, or did not reach S3",
                    reason=Reason.STORE_UNAVAILABLE,
                    hint="Look at the store's health; the same call may succeed later.",
                    seconds=f"{timeout_s:g}",
                )

    def give_back(self, size_bytes: int) -> None:
        """Give back what was taken: the same number of bytes, once."""
        with self._changed:
            self._free_bytes += min(size_bytes, self._size_bytes)
            self._changed.notify_all()

    def _take(self, size_bytes: int) -> bool:
        wanted = min(size_bytes, self._size_bytes)
        if wanted > self._free_bytes:
            return False
        self._free_bytes -= wanted
        return True
