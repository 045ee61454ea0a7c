# SPDX-License-Identifier: Apache-2.0
"""Turns of processes that run tests at once: together, or one of them alone."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Turns:
    """What the processes of one run share by a folder; used by one thread."""

    def __init__(self, folder: Path) -> None:
        self._gate = os.open(folder / "gate.lock", os.O_CREAT | os.O_RDWR, 0o600)
        self._room = os.open(folder / "room.lock", os.O_CREAT | os.O_RDWR, 0o600)

    @contextmanager
    def take(self, *, alone: bool) -> Iterator[None]:
        """Wait for a turn, and keep it.

        Whoever waits to be alone keeps the gate shut, or others would follow each
        other for ever. Locks are let go by name: what a test forks holds them, too.
        """
        fcntl.flock(self._gate, fcntl.LOCK_EX)
        try:
            fcntl.flock(self._room, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        finally:
            fcntl.flock(self._gate, fcntl.LOCK_UN)
        try:
            yield
        finally:
            fcntl.flock(self._room, fcntl.LOCK_UN)

    def close(self) -> None:
        """Take no turn any more."""
        os.close(self._gate)
        os.close(self._room)
