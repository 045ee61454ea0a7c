# SPDX-License-Identifier: Apache-2.0
"""The ports of a sidecar: grants from central, packs by URL, packs on a local disk."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from strongroom.format.names import VersionName
from strongroom_server.core.grant import Grant, GrantPage, Revoked
from strongroom_server.ports.blobs import ReadBuffer


class UrlRefusedError(Exception):
    """The store does not believe a URL, or not any more; a fresh one may help."""


class OpenedGrant(Protocol):
    """A grant whose pages are taken one by one."""

    @property
    def grant(self) -> Grant:
        """What was granted."""
        ...

    def pages(self) -> Iterator[GrantPage]:
        """Take the pages, in order; errors as `GrantSource.open`."""
        ...


class GrantWatch(Protocol):
    """Versions that are watched; iterated by one thread, ended by any."""

    def __iter__(self) -> Iterator[tuple[Revoked, ...]]:
        """Yield what ended, and nothing every few seconds; errors as `open`."""
        ...

    def end(self) -> None:
        """End the watch, which raises CancelledError or just ends."""
        ...


class GrantSource(Protocol):
    """Central, as a sidecar asks it. Safe to use from many threads.

    Raises, from every method: what central raises; UnavailableError if it cannot be
    reached (TRANSPORT), at once where that is known.
    """

    def open(
        self, name: VersionName, *, paths: Sequence[str]
    ) -> AbstractContextManager[OpenedGrant]:
        """Open files of a version; ends with the context, whatever was taken."""
        ...

    def watch(self, names: Sequence[VersionName]) -> GrantWatch:
        """Begin to watch versions, 1 to MAX_WATCHED, by number."""
        ...


class PackFetcher(Protocol):
    """Fetches packs by URL, with a time limit and repeats. Safe for many threads."""

    def read_into(self, url: str, *, offset_bytes: int, buffer: memoryview) -> None:
        """Fill `buffer` from `offset_bytes` on; no short reads.

        Raises:
            BlobNotFoundError: There is no such pack, or it ends before that.
            UrlRefusedError: The URL is not believed.
            UnavailableError: The store cannot be reached (STORE_UNAVAILABLE).
        """
        ...

    def read_whole(
        self, url: str, room: Callable[[int], memoryview], *, max_bytes: int
    ) -> memoryview:
        """Fill memory with a whole pack, and return it.

        Args:
            url: Of the pack.
            room: Returns memory for so many bytes; asked again when it is repeated.
            max_bytes: Its length at most.

        Raises:
            BlobNotFoundError: There is none, or it is longer than `max_bytes`.
            UrlRefusedError, UnavailableError: As `read_into`.
        """
        ...


class PackCache(Protocol):
    """Packs, encrypted as they are stored, on a local disk; may be lost at any time.

    Shared with other processes. What it gives is checked by whoever decrypts it.
    No method raises because of the disk: what does not work is not there. Safe to use
    from many threads.
    """

    def read_into(self, pack: str, *, offset_bytes: int, buffer: memoryview) -> bool:
        """Fill `buffer` from a pack; return whether it was there."""
        ...

    def put(self, pack: str, data: ReadBuffer) -> bool:
        """Keep a pack, if there is or can be made room; return whether it is kept."""
        ...

    def drop(self, pack: str) -> bool:
        """Forget a pack; return whether it was there."""
        ...
