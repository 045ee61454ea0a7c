# SPDX-License-Identifier: Apache-2.0
"""What the calls of a lane may do in it: reads put bytes in, writes take files out."""

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from strongroom.errors import Reason, UnavailableError
from strongroom.format.lanes import LaneKind
from strongroom_server.adapters.shared_memory.mappings import MappingDraft, Mappings
from strongroom_server.adapters.shared_memory.segments import Room
from strongroom_server.adapters.shared_memory.sources import HandedFile, Sources
from strongroom_server.ports import Lease, ToldFile

if TYPE_CHECKING:
    from strongroom_server.adapters.shared_memory.lane import Lane

#: What is handed over is on its way before its call says so.
SOURCE_WAIT_S: Final = 5.0


class LaneRead:
    """See `ports.SharedRead`."""

    def __init__(self, lane: "Lane", mappings: Mappings, number: int) -> None:
        self._lane = lane
        self._mappings = mappings
        self._number = number
        self._is_closed = False

    def take(self, size_bytes: int) -> Lease | None:
        """See `SharedRead`."""
        return self._lane.take(self._number, size_bytes)

    def give_back(self, lease: Lease) -> None:
        """See `SharedRead`."""
        self._lane.give_back(_own(lease))

    def tell(self, lease: Lease) -> None:
        """See `SharedRead`."""
        self._lane.tell(self._number, _own(lease))

    def wait(self, timeout_s: float) -> bool:
        """See `SharedRead`."""
        return self._lane.wait(self._number, timeout_s)

    def find_mapping(self, key: str) -> int:
        """See `SharedRead`."""
        held = self._mappings.hold(key, self._lane.number)
        if held is None:
            return 0
        number, size_bytes, descriptor = held
        try:
            sent = self._lane.hand_over(
                LaneKind.MAPPING, number, size_bytes, descriptor
            )
        finally:
            os.close(descriptor)
        if not sent:
            self._mappings.let_go(number, self._lane.number)
            return 0
        return number

    def begin_mapping(
        self, key: str, size_bytes: int, alive: Callable[[], None]
    ) -> MappingDraft | None:
        """See `SharedRead`."""
        return self._mappings.begin(key, size_bytes, alive)

    def wait_mapping(self, key: str, timeout_s: float) -> bool:
        """See `SharedRead`."""
        return self._mappings.wait(key, timeout_s)

    def close(self) -> None:
        """See `SharedRead`."""
        if not self._is_closed:
            self._is_closed = True
            self._lane.end(self._number)


class LaneWrite:
    """See `ports.SharedWrite`."""

    def __init__(self, lane: "Lane", sources: Sources, number: int) -> None:
        self._lane = lane
        self._sources = sources
        self._number = number
        self._is_closed = False

    def take(self, source: int, told: ToldFile) -> HandedFile:
        """See `SharedWrite`."""
        descriptor = self._sources.take(self._number, source, SOURCE_WAIT_S)
        if descriptor is None:
            raise UnavailableError(
                f"the descriptor of {told.path!r} did not come, or found no room",
                reason=Reason.TRANSPORT,
                hint="Send its bytes instead.",
                path=told.path,
            )
        return HandedFile(descriptor, told)

    def close(self) -> None:
        """See `SharedWrite`."""
        if not self._is_closed:
            self._is_closed = True
            self._lane.end(self._number)


def _own(lease: Lease) -> Room:
    if not isinstance(lease, Room):
        message = "a lease of somebody else's memory"
        raise TypeError(message)
    return lease
