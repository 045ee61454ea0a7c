# SPDX-License-Identifier: Apache-2.0
"""Packs read whole, each once, a few ahead: what verification reads chunks from.

It stands in for the store: chunks are cut out of packs in memory, so that a pack of
many small chunks costs one request, and its digest is checked on the way.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final

from strongroom.errors import IntegrityError, Reason
from strongroom_server.core import layout
from strongroom_server.core.pack import MAX_PACK_BYTES
from strongroom_server.core.stored_objects import PACKS, check_pack, digest_name
from strongroom_server.ports import (
    BlobNotFoundError,
    BlobStore,
    BlobVersion,
    ReadBuffer,
)
from strongroom_server.repository.repository import Repository
from strongroom_server.services.store_verification.object_checks import (
    ObjectChecks,
    retold,
)

#: Packs that were read, and are kept in case that they are needed again.
_KEPT_BYTES: Final = 48 * 1024 * 1024
_KEPT_COUNT: Final = 10_000
_AHEAD: Final = 2
#: Names of packs that are remembered, to tell which are not referenced.
MAX_SEEN: Final = 500_000


@dataclass(frozen=True, slots=True)
class BadPack:
    """A pack that is not what its name says.

    Attributes:
        error: What is wrong.
        repaired: Whether a copy of it was stored just now.
        mended: Whether one was stored earlier.
    """

    error: IntegrityError
    repaired: bool
    mended: bool


@dataclass(frozen=True, slots=True)
class _Whole:
    """A pack's bytes, if there are any; and what is wrong with them."""

    data: bytes | None
    size_bytes: int
    bad: BadPack | None


class PackReads:
    """A `BlobStore` that reads packs whole. Used by one thread.

    Attributes:
        bad: The damaged packs that were met, by name.
        seen: Digests of the packs that were asked for; no more than `MAX_SEEN`.
    """

    def __init__(self, repository: Repository, checks: ObjectChecks) -> None:
        self._repository = repository
        self._checks = checks
        self._kept: OrderedDict[tuple[str, str], bytes | None] = OrderedDict()
        self._kept_bytes = 0
        self._under_way: dict[tuple[str, str], Future[_Whole]] = {}
        self._wanted: Iterator[tuple[str, str]] = iter(())
        self._read_bytes = 0
        self._read_count = 0
        self.bad: dict[str, BadPack] = {}
        self.seen: set[bytes] = set()

    def expect(self, packs: Iterable[tuple[str, str]]) -> None:
        """Say which packs, by name and version id, are asked for next, in order."""
        for place in list(self._under_way):
            self._take_in(place)
        self._wanted = iter(packs)
        self._fetch_ahead()

    def take_read(self) -> tuple[int, int]:
        """Return how many bytes and objects were read since the last time."""
        read = (self._read_bytes, self._read_count)
        self._read_bytes = self._read_count = 0
        return read

    def close(self) -> None:
        """Stop what was fetched ahead, and forget what is kept."""
        for place in list(self._under_way):
            self._under_way[place].cancel()
            self._forget(place)
        self._kept.clear()

    def note_bad(self, pack: str, error: IntegrityError) -> None:
        """Take note that a pack's chunk does not authenticate, whatever its digest."""
        if pack not in self.bad:
            self.bad[pack] = BadPack(retold(error), repaired=False, mended=False)

    def read_into(
        self, key: str, *, version_id: str, offset_bytes: int, buffer: memoryview
    ) -> None:
        """See `BlobStore`."""
        if not key.startswith((PACKS, layout.copies_prefix(PACKS.rstrip("/")))):
            self._repository.blobs.read_into(
                key, version_id=version_id, offset_bytes=offset_bytes, buffer=buffer
            )
            return
        data = self._pack((key, version_id))
        part = b"" if data is None else data[offset_bytes : offset_bytes + len(buffer)]
        if len(part) != len(buffer):
            raise BlobNotFoundError(key)
        buffer[:] = part

    def put_new(self, key: str, data: ReadBuffer) -> str:
        """See `BlobStore`."""
        return self._repository.blobs.put_new(key, data)

    def get(self, key: str, *, version_id: str, max_bytes: int) -> bytes:
        """See `BlobStore`."""
        data = self._repository.blobs.get(
            key, version_id=version_id, max_bytes=max_bytes
        )
        self._read_bytes += len(data)
        self._read_count += 1
        return data

    def first_versions(
        self, prefix: str, *, start_after: str = ""
    ) -> Iterator[BlobVersion]:
        """See `BlobStore`."""
        return self._repository.blobs.first_versions(prefix, start_after=start_after)

    def subfolders(self, prefix: str) -> Iterator[str]:
        """See `BlobStore`."""
        return self._repository.blobs.subfolders(prefix)

    def time_s(self) -> float:
        """See `BlobStore`."""
        return self._repository.blobs.time_s()

    def check_ready(self) -> None:
        """See `BlobStore`."""
        self._repository.blobs.check_ready()

    def _pack(self, place: tuple[str, str]) -> bytes | None:
        if place in self._kept:
            self._kept.move_to_end(place)
            return self._kept[place]
        if place in self._under_way:
            data = self._take_in(place)
        else:
            data = self._keep(place, self._fetch(*place))
        self._fetch_ahead()
        return data

    def _fetch_ahead(self) -> None:
        budget = self._repository.read_budget
        while len(self._under_way) < _AHEAD:
            wanted = next(self._wanted, None)
            if wanted is None:
                return
            place = (layout.pack_key(wanted[0]), wanted[1])
            if place in self._kept or place in self._under_way:
                continue
            if not budget.try_take(MAX_PACK_BYTES):
                return  # Others need the memory; it is fetched when it is asked for.
            try:
                future = self._repository.executor.submit(self._fetch, *place)
            except RuntimeError:  # The threads have ended, and with them the server.
                budget.give_back(MAX_PACK_BYTES)
                raise
            self._under_way[place] = future

    def _take_in(self, place: tuple[str, str]) -> bytes | None:
        try:
            whole = self._under_way[place].result()
        finally:
            self._forget(place)
        return self._keep(place, whole)

    def _forget(self, place: tuple[str, str]) -> None:
        del self._under_way[place]
        self._repository.read_budget.give_back(MAX_PACK_BYTES)

    def _keep(self, place: tuple[str, str], whole: _Whole) -> bytes | None:
        self._read_bytes += whole.size_bytes
        self._read_count += 1
        name = digest_name(place[0])
        if name and len(self.seen) < MAX_SEEN:
            self.seen.add(bytes.fromhex(name))
        if whole.bad is not None:
            self.bad.setdefault(name, whole.bad)
        self._kept[place] = whole.data
        self._kept_bytes += len(whole.data or b"")
        while len(self._kept) > 1 and (
            self._kept_bytes > _KEPT_BYTES or len(self._kept) > _KEPT_COUNT
        ):
            _, dropped = self._kept.popitem(last=False)
            self._kept_bytes -= len(dropped or b"")
        return whole.data

    def _fetch(self, key: str, version_id: str) -> _Whole:
        """Read a pack and check its digest; mend it, if that can be done."""
        name = digest_name(key)
        data = None
        try:
            data = self._repository.blobs.get(
                key, version_id=version_id, max_bytes=MAX_PACK_BYTES
            )
            if name:
                check_pack(data, name, self._repository.keyring.store)
        except BlobNotFoundError:
            error = IntegrityError(
                f"pack {name[:16]} is gone", reason=Reason.CHUNK_MISSING, pack=name
            )
        except IntegrityError as damage:
            error = retold(damage)
        else:
            return _Whole(data, len(data), None)
        size_bytes = len(data or b"")
        if not name:
            return _Whole(data, size_bytes, None)
        checked = self._checks.recover(key, error, size_bytes)
        mended = checked.error is None
        return _Whole(
            data, checked.size_bytes, BadPack(error, checked.repaired, mended)
        )


_blobs: type[BlobStore] = PackReads
