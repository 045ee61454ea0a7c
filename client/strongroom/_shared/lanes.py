# SPDX-License-Identifier: Apache-2.0
"""The process's lane: opened late, opened again, and done without if need be."""

import os
import threading
import warnings
import weakref
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from strongroom import _system
from strongroom._shared.lane import Lane, LaneRead, LaneWrite
from strongroom.errors import StrongroomError
from strongroom.values import SharedMemory, SharedMemoryState

#: After a failure, so long nobody tries again.
_PAUSE_S: Final = 10.0


@dataclass(eq=False)
class _State:
    lock: threading.Lock = field(default_factory=threading.Lock)
    lane: Lane | None = None
    closed: bool = False
    problem: str = ""
    failed_s: float = 0.0
    shared_bytes: int = 0
    sent_bytes: int = 0
    handed_bytes: int = 0


class Lanes:
    """Lends the process's lane to reads and writes. Safe for threads and forks.

    Args:
        path: The server's data socket; None if there is none.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._state = _State()
        self._has_warned = False
        _LANES.add(self)

    @property
    def is_usable(self) -> bool:
        """Whether the next read is likely to share memory with the server."""
        state = self._state
        return self._path is not None and not (state.problem or state.closed)

    def begin(self) -> LaneRead | None:
        """Return a read in the lane; None where there is none."""
        lane = self._open()
        return lane.begin() if lane is not None else None

    def begin_write(self) -> LaneWrite | None:
        """Return a write in the lane; None where there is none."""
        lane = self._open()
        return lane.begin_write() if lane is not None else None

    def _open(self) -> Lane | None:
        path, state = self._path, self._state
        if path is None or state.closed:
            return None
        with state.lock:
            if state.lane is not None and state.lane.is_open:
                return state.lane
            now_s = _system.monotonic_s()
            if state.problem and now_s - state.failed_s < _PAUSE_S:
                return None
            try:
                state.lane = Lane(path)
            except StrongroomError as error:
                state.problem, state.failed_s = error.message, now_s
                return None
            state.problem = ""
            return state.lane

    def count(
        self, *, shared_bytes: int = 0, sent_bytes: int = 0, handed_bytes: int = 0
    ) -> None:
        """Count bytes of files by the way that they came."""
        state = self._state
        with state.lock:
            state.shared_bytes += shared_bytes
            state.sent_bytes += sent_bytes
            state.handed_bytes += handed_bytes

    def tell_problem(self) -> None:
        """Say once why reads go on without a lane, if they should have one.

        Called when the server has answered: if it is gone altogether, that is no
        matter of its data socket.
        """
        problem = self._state.problem
        if problem and not self._has_warned:
            self._has_warned = True
            message = f"{problem} ({self._path}): reads go on without shared memory"
            warnings.warn(message, RuntimeWarning, stacklevel=2)

    def describe(self) -> SharedMemory:
        """Return whether memory is shared, and how much came through it."""
        state = self._state
        if self._path is None:
            how = SharedMemoryState.OFF
        elif state.problem:
            how = SharedMemoryState.FAILED
        elif state.lane is not None and state.lane.is_open:
            how = SharedMemoryState.OPEN
        else:
            how = SharedMemoryState.UNUSED
        return SharedMemory(
            state=how,
            socket=str(self._path or ""),
            problem=state.problem,
            shared_bytes=state.shared_bytes,
            sent_bytes=state.sent_bytes,
            handed_bytes=state.handed_bytes,
        )

    def close(self) -> None:
        """Hang up; what is mapped stays readable."""
        state = self._state
        with state.lock:
            state.closed = True
            lane, state.lane = state.lane, None
        if lane is not None:
            lane.close()

    def forget(self) -> None:
        """Leave the parent's lane alone, in the child of a fork."""
        state = self._state
        if state.lane is not None:
            state.lane.forget()
        self._state = _State(closed=state.closed)


_LANES: Final = weakref.WeakSet[Lanes]()


def _forget_all() -> None:
    for lanes in list(_LANES):
        lanes.forget()


os.register_at_fork(after_in_child=_forget_all)
