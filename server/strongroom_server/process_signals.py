# SPDX-License-Identifier: Apache-2.0
"""The signals that end a process in order: SIGTERM, and Ctrl-C."""

import signal
import threading
from types import FrameType
from typing import Final

#: How long the main thread sleeps at most.
_LOOK_S: Final = 1.0


class _Stop(threading.Event):
    """An event that a signal sets, whichever thread the kernel gives the signal to.

    Python runs handlers on the main thread alone, and a signal that another thread
    was given does not wake it: waiting without an end, it would never hear of it.
    """

    def wait(self, timeout: float | None = None) -> bool:
        """Wait as `Event` does, and look up every second."""
        if timeout is not None:
            return super().wait(timeout)
        while not super().wait(_LOOK_S):
            pass
        return True


def stop_on_signals() -> threading.Event:
    """Return an event that SIGTERM and SIGINT set, from now on; main thread only."""
    stop = _Stop()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    return stop
