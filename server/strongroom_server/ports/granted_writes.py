# SPDX-License-Identifier: Apache-2.0
"""The ports of a sidecar that writes: central's side of a write, and packs by URL."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol, TypeVar

from strongroom.errors import StrongroomError
from strongroom_server.core.write_grant import (
    ChunkName,
    NamedChunk,
    SealedPack,
    WriteGrant,
)
from strongroom_server.core.write_results import CommitResult, PartResult, Position
from strongroom_server.core.write_steps import OpenLimits, PackPlan, WrittenItem
from strongroom_server.ports.blobs import ReadBuffer, SignedPut

Answer_co = TypeVar("Answer_co", covariant=True)


class Pending(Protocol[Answer_co]):
    """What central has been asked for; a future."""

    def done(self) -> bool:
        """Return whether `result` returns at once."""
        ...

    def result(self, timeout: float | None = None) -> Answer_co:
        """Wait for the answer, and return it.

        Raises:
            TimeoutError: It did not come in so many seconds.
            StrongroomError: As every method of `GrantedWrite`.
        """
        ...


class NotGrantedError(Exception):
    """A write cannot be granted; the same call may do without a grant."""

    def __init__(self, refusal: StrongroomError) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


class GrantedWrite(Protocol):
    """A version, or a part of a draft, that is written by grant.

    Safe to use from many threads. Every method, and every answer, raises what ended
    the write at central, once it has ended.
    """

    @property
    def grant(self) -> WriteGrant:
        """What was granted."""
        ...

    @property
    def limits(self) -> OpenLimits:
        """What may be sealed and not yet stored."""
        ...

    def resume(self) -> Iterator[Position | None]:
        """Yield a sign of life now and then, and last where a resumable write is."""
        ...

    def name(self, chunks: Sequence[ChunkName]) -> Pending[Sequence[NamedChunk]]:
        """Ask for the ids and keys of 1 to MAX_NAMES chunks."""
        ...

    def seal(self, plan: PackPlan) -> tuple[int, Pending[SealedPack]]:
        """Tell what a pack will hold; return its number, and what belongs around."""
        ...

    def locate(self, pack: int, *, digest: bytes, crc32: int) -> Pending[SignedPut]:
        """Ask where to put a pack; again, if it was not believed."""
        ...

    def stored(self, pack: int, version_id: str) -> None:
        """Tell that the store has a pack; "" if it had one of the name before."""
        ...

    def tell(self, items: Sequence[WrittenItem]) -> None:
        """Tell files whose chunks are stored; at most MAX_ITEMS at once."""
        ...

    def check(self) -> None:
        """Check that central has not ended it."""
        ...

    def commit(self, *, file_count: int, digest: str) -> CommitResult | PartResult:
        """End it; `digest` is "" for a part of a draft.

        Raises:
            StrongroomError: As WriteVersion does.
        """
        ...

    def end(self) -> None:
        """Give it up, if it has not ended; any thread may."""
        ...


class WriteSource(Protocol):
    """Central, as a sidecar asks it to write. Safe to use from many threads."""

    def write(
        self, start: bytes, *, timeout_s: float
    ) -> AbstractContextManager[GrantedWrite]:
        """Begin a write; ends with the context.

        Args:
            start: WriteStart, as the writer sent it.
            timeout_s: How long it may take in all.

        Raises:
            NotGrantedError: It cannot be granted.
            StrongroomError: What central raises; or it cannot be reached (TRANSPORT).
        """
        ...


class PackPutter(Protocol):
    """Puts packs by URL, with a time limit and repeats. Safe for many threads."""

    def put(
        self, url: str, headers: Mapping[str, str], pieces: Sequence[ReadBuffer]
    ) -> str:
        """Put a pack, given in pieces; return its version id.

        Raises:
            BlobExistsError: There is an object of that name.
            UrlRefusedError: The URL is not believed.
            UnavailableError: The store cannot be reached, or did not answer: it may
                have the pack all the same (STORE_UNAVAILABLE).
        """
        ...
