# SPDX-License-Identifier: Apache-2.0
"""Waiting for what another thread does, no longer than it takes."""

import threading
from collections.abc import Callable


def wait_until(condition: Callable[[], bool], *, timeout_s: float = 20.0) -> None:
    """Look again and again; fail if it does not come true in time."""
    waiting = threading.Event()
    for _ in range(int(timeout_s / 0.01)):
        if condition():
            return
        waiting.wait(0.01)
    message = f"not true after {timeout_s:g} s"
    raise AssertionError(message)
