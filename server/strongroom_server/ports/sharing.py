# SPDX-License-Identifier: Apache-2.0
"""Ports of memory that a reader on the same machine may look into."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


class Lease(Protocol):
    """Room in a segment: written here, then told to the reader or given back."""

    @property
    def segment(self) -> int:
        """The number of the segment, as the reader knows it."""
        ...

    @property
    def offset_bytes(self) -> int:
        """Where the room starts in the segment."""
        ...

    @property
    def buffer(self) -> memoryview:
        """The room, writable; as long as was asked for."""
        ...


class MappingDraft(Protocol):
    """A whole file's memory that is being filled; the reader sees it when finished."""

    @property
    def buffer(self) -> memoryview:
        """The memory, writable; as long as the file."""
        ...

    def finish(self) -> None:
        """Seal the memory for good; from now on it is found by its key."""
        ...

    def abandon(self) -> None:
        """Let go of the memory; of one that is finished, nothing happens."""
        ...


class SharedRead(Protocol):
    """What one read may put where its reader sees it; used by one thread.

    No method waits for the reader but `wait`, and none raises because the reader is
    gone: there is no room any more then, and the call that reads ends by itself.
    """

    def take(self, size_bytes: int) -> Lease | None:
        """Return room for so many bytes, at least one; None if there is none now."""
        ...

    def give_back(self, lease: Lease) -> None:
        """Take back room that was not told. From any thread."""
        ...

    def tell(self, lease: Lease) -> None:
        """Leave a lease to the reader, who gives leases back in the order told.

        Its bytes must be authenticated, and nobody may write to it any more.
        """
        ...

    def wait(self, timeout_s: float) -> bool:
        """Wait until the reader gives something back of what it was told.

        Returns:
            Whether it has, since there was no room; False at once if it has nothing.
        """
        ...

    def find_mapping(self, key: str) -> int:
        """Hand a finished mapping to the reader; return its number, or 0."""
        ...

    def begin_mapping(
        self, key: str, size_bytes: int, alive: Callable[[], None]
    ) -> MappingDraft | None:
        """Return memory for a whole file, to be filled, then found by `key`.

        Args:
            key: Names the content and who may share it; never empty.
            size_bytes: At least one.
            alive: Asked again and again; the mapping is forgotten once it raises.

        Returns:
            None if there is no room, or somebody is filling it already.
        """
        ...

    def wait_mapping(self, key: str, timeout_s: float) -> bool:
        """Wait while somebody else fills a mapping; False if nobody does."""
        ...

    def close(self) -> None:
        """End the read; what was told stays until the reader gives it back."""
        ...


@dataclass(frozen=True, slots=True)
class ToldFile:
    """What a writer says of a file that it hands over.

    Attributes:
        path: How errors name it.
        offset_bytes: Where its bytes start in what is handed over.
        size_bytes: How many they are.
        modify_time_ns: When somebody last wrote to it, since 1970.
    """

    path: str
    offset_bytes: int
    size_bytes: int
    modify_time_ns: int


class HandedFile(Protocol):
    """A file that a writer handed over, to be read here; used by one thread."""

    def read_into(self, buffer: memoryview, offset_bytes: int) -> int:
        """Fill a buffer from a position in the file; return how many bytes came.

        Raises:
            ConflictError: It has become shorter (SOURCE_CHANGED).
            UnavailableError: It cannot be read (TRANSPORT).
        """
        ...

    def check_unchanged(self) -> None:
        """Check that nobody has written to it since it was taken, as far as seen.

        Raises:
            ConflictError: Somebody has (SOURCE_CHANGED).
        """
        ...

    def close(self) -> None:
        """Let go of it; a second time nothing happens."""
        ...


class SharedWrite(Protocol):
    """What one write may take from its writer; used by one thread."""

    def take(self, source: int, told: ToldFile) -> HandedFile:
        """Wait a few seconds for what the writer hands over; closed by who asks.

        Args:
            source: The writer's number of it, once in a write.
            told: What the writer says of it.

        Raises:
            InvalidArgumentError: It is no file that is read here (FILE_UNSUPPORTED).
            ConflictError: It is not as the writer says (SOURCE_CHANGED).
            UnavailableError: It did not come, or there was no room (TRANSPORT).
        """
        ...

    def close(self) -> None:
        """End the write; what was not taken is closed."""
        ...


class SharedMemory(Protocol):
    """Memory shared with readers on the same machine. Safe for many threads."""

    def begin(self, token: bytes, number: int, principal: str) -> SharedRead | None:
        """Begin a read into the lane of a reader.

        Args:
            token: The lane's, which only the process at its other end was told.
            number: The reader's name for the read, once in a lane.
            principal: Who reads; a lane serves the principal that used it first.

        Returns:
            None if there is no such lane, for whatever reason.
        """
        ...

    def begin_write(
        self, token: bytes, number: int, principal: str
    ) -> SharedWrite | None:
        """Begin a write from the lane of a writer; arguments and None as of `begin`."""
        ...
