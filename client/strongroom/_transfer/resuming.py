# SPDX-License-Identifier: Apache-2.0
"""When a broken transfer is tried again, and how long that waits."""

import threading
from typing import Final

from strongroom.errors import Reason, StrongroomError

#: What may be over in a moment. A sealed Vault, for one, is not.
_PASSING: Final = frozenset({Reason.TRANSPORT, Reason.DRAINING})
_TRIES: Final = 3
_FIRST_WAIT_S: Final = 0.5


def is_passing(error: StrongroomError) -> bool:
    """Tell whether the cause may be over in a moment."""
    return error.retriable and error.reason in _PASSING


class Resumption:
    """Allows three tries in a row without progress, each after a longer wait.

    A transfer that fell silent gets one of them only: each costs the whole time
    that silence may last.
    """

    def __init__(self) -> None:
        self._left = _TRIES
        self._stalled = False

    def progressed(self) -> None:
        """Note that bytes have moved since the last failure."""
        self._left = _TRIES
        self._stalled = False

    def wait_after(self, error: StrongroomError) -> None:
        """Wait before the next try, or raise `error` if there is none."""
        stalled = error.reason is Reason.STALLED
        may_pass = is_passing(error) or (stalled and not self._stalled)
        if not (may_pass and self._left):
            raise error
        self._stalled = self._stalled or stalled
        wait_s = _FIRST_WAIT_S * 2 ** (_TRIES - self._left)
        self._left -= 1
        threading.Event().wait(wait_s)  # Ctrl-C interrupts it
