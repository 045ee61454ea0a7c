# SPDX-License-Identifier: Apache-2.0
"""A server of shared memory, and what tests do at both ends of a lane."""

import threading
from collections.abc import Callable
from pathlib import Path

from strongroom._shared.lane import Lane
from strongroom_server.adapters.shared_memory import (
    SharedMemoryServer,
    SharedMemorySettings,
)
from strongroom_server.adapters.shared_memory.lane_calls import LaneRead
from strongroom_server.adapters.shared_memory.segments import SEGMENT_BYTES
from strongroom_server.ports import SharedRead

MIB = 1024 * 1024
READER = "spiffe://test/reader"


def settings_of(folder: Path) -> SharedMemorySettings:
    """Return settings with little memory."""
    return SharedMemorySettings(
        folder / "data.sock", ring_bytes=4 * SEGMENT_BYTES, mapped_bytes=8 * MIB
    )


def until(is_so: Callable[[], bool]) -> None:
    """Wait for the server's thread."""
    waiting = threading.Event()
    for _ in range(500):
        if is_so():
            return
        waiting.wait(0.01)
    raise AssertionError


def begin(server: SharedMemoryServer, lane: Lane, number: int = 1) -> SharedRead:
    """Begin a read at the server's end, in a lane that has a segment."""
    read = server.begin(lane.token, number, READER)
    assert read is not None
    lease = read.take(MIB)
    if lease is not None:
        read.give_back(lease)
    return read


def fill(read: SharedRead, content: bytes) -> tuple[int, int]:
    """Tell the reader of some bytes; return where they are."""
    lease = read.take(len(content))
    assert lease is not None
    lease.buffer[:] = content
    read.tell(lease)
    return lease.segment, lease.offset_bytes


def told(read: SharedRead) -> int:
    """How much the reader has of what it was told."""
    assert isinstance(read, LaneRead)
    return len(read._lane._reads[read._number].told)
