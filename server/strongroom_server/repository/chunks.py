# SPDX-License-Identifier: Apache-2.0
"""Reading chunks: ranged, by pinned version, authenticated before anyone sees them.

What is gone or damaged at its own place is looked for among the repairs, and must
authenticate there all the same.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

from strongroom.errors import IntegrityError, Reason, StrongroomError
from strongroom_server.core import chunk as chunk_format
from strongroom_server.core import layout
from strongroom_server.core.chunk import ChunkRef
from strongroom_server.core.cobblestone import PREFIX_BYTES, DecryptError
from strongroom_server.core.codecs import Codec
from strongroom_server.core.scope import Scope
from strongroom_server.ports import BlobNotFoundError
from strongroom_server.repository.buffers import BufferPool
from strongroom_server.repository.chunk_source import ChunkSource
from strongroom_server.repository.repairs import Place

Found = TypeVar("Found")


class ChunkReader:
    """Reads and authenticates stored chunks. Safe to use from many threads."""

    def __init__(self, source: ChunkSource) -> None:
        self._source = source
        self._buffers = BufferPool()

    def read(self, scope: Scope, ref: ChunkRef, *, deep: bool = False) -> memoryview:
        """Return a whole chunk's plaintext.

        Args:
            scope: The key domain.
            ref: The chunk; a delta is applied to its base.
            deep: Whether to compute the chunk's id from the plaintext as well. It
                shows a writer's mistake, which authenticates.

        Raises:
            IntegrityError: It is gone or does not authenticate (CHUNK_MISSING,
                CHUNK_CORRUPT).
        """

        def read_at(place: Place) -> memoryview:
            base = None
            if place.ref.base is not None:
                base = self.read(scope, place.ref.base)
            return self._read_whole(scope, place, base, deep=deep)

        return self._first(scope, ref, read_at)

    def read_pinned(self, scope: Scope, ref: ChunkRef) -> memoryview:
        """Return the plaintext of a chunk that is no delta, from its own place only.

        Raises:
            IntegrityError: As `read`, even if a repair has the chunk.
        """
        return self._read_whole(scope, _own_place(ref), None, deep=False)

    def read_range(
        self, scope: Scope, ref: ChunkRef, offset_bytes: int, length_bytes: int
    ) -> memoryview:
        """Return a range of a chunk's plaintext, reading whole segments only.

        The range lies inside the chunk and is not empty. Errors as `read`.
        """

        def read_at(place: Place) -> memoryview:
            whole = offset_bytes == 0 and length_bytes == place.ref.plain_bytes
            if whole or place.ref.codec != Codec.RAW:
                base = None
                if place.ref.base is not None:
                    base = self.read(scope, place.ref.base)
                plaintext = self._read_whole(scope, place, base, deep=False)
                return plaintext[offset_bytes : offset_bytes + length_bytes]
            return self._read_segments(scope, place, offset_bytes, length_bytes)

        return self._first(scope, ref, read_at)

    def read_range_into(
        self,
        scope: Scope,
        ref: ChunkRef,
        offset_bytes: int,
        length_bytes: int,
        buffer: memoryview,
    ) -> int:
        """Write a range of a chunk's plaintext into a buffer, without more memory.

        Args:
            scope: The key domain.
            ref: The chunk.
            offset_bytes: Where the range starts in the chunk.
            length_bytes: Its length; the range lies inside the chunk.
            buffer: Of exactly `core.chunk.room_bytes` of the range. It holds zeros
                after an error.

        Returns:
            Where in the buffer the range starts.

        Raises:
            IntegrityError: As `read`.
        """

        def read_at(place: Place) -> int:
            # A repair may be encoded otherwise, and need other room.
            room = chunk_format.room_bytes(place.ref, offset_bytes, length_bytes)
            if place.ref.codec == Codec.RAW and room == len(buffer):
                return self._decrypt_into(
                    scope, place, (offset_bytes, length_bytes), buffer
                )
            base = None
            if place.ref.base is not None:
                base = self.read(scope, place.ref.base)
            plaintext = self._read_whole(scope, place, base, deep=False)
            buffer[:length_bytes] = plaintext[offset_bytes:][:length_bytes]
            return 0

        try:
            return self._first(scope, ref, read_at)
        except BaseException:
            # A segment that did not authenticate may have been decrypted all the same.
            buffer[:] = bytes(len(buffer))
            raise

    def read_run(
        self, scope: Scope, refs: Sequence[ChunkRef], rooms: Sequence[memoryview] = ()
    ) -> list[memoryview | StrongroomError]:
        """Return the plaintexts of neighbours, fetched by one request.

        What cannot be read so is tried as by `read`; an error stands in place of
        what cannot be read at all, so that the others can be.

        Args:
            scope: The key domain.
            refs: Chunks that are `neighbours`, in order.
            rooms: Where to put each plaintext, of its length; nowhere in particular
                if empty.
        """
        first, last = refs[0], refs[-1]
        size_bytes = last.offset_bytes + last.stored_bytes - first.offset_bytes
        found: list[memoryview | StrongroomError] = []
        with self._buffers.lend(size_bytes) as buffer:
            stored = buffer
            try:
                self._fetch(_own_place(first), first.offset_bytes, stored)
            except IntegrityError:
                stored = buffer[:0]  # of each chunk there is nothing
            for index, ref in enumerate(refs):
                start = ref.offset_bytes - first.offset_bytes
                own = stored[start : start + ref.stored_bytes]
                room = rooms[index] if rooms else None
                try:
                    found.append(self._read_one(scope, ref, own, room))
                except StrongroomError as error:
                    found.append(error)
        return found

    def is_there(self, scope: Scope, ref: ChunkRef) -> bool:
        """Return whether a chunk's pack is there and starts the chunk rightly.

        One small request; finds a pack that is gone, cut short or replaced, but
        not every flipped bit: `strongroom verify` does.
        """
        prefix = memoryview(bytearray(PREFIX_BYTES))
        try:
            self._fetch(_own_place(ref), ref.offset_bytes, prefix)
            chunk_format.open_chunk(self._source.keys(scope, ref), ref, bytes(prefix))
        except IntegrityError:
            return False
        return True

    def _read_one(
        self,
        scope: Scope,
        ref: ChunkRef,
        stored: memoryview,
        room: memoryview | None,
    ) -> memoryview:
        """Return a chunk's plaintext, in its room; fetch it if `stored` is bad."""
        try:
            keys = self._source.keys(scope, ref)
            if room is None or ref.codec != Codec.RAW or len(stored) < PREFIX_BYTES:
                plaintext = chunk_format.decrypt_chunk(keys, ref, stored)
            else:
                prefix = bytes(stored[:PREFIX_BYTES])
                decrypter = chunk_format.open_chunk(keys, ref, prefix)
                segments = stored[PREFIX_BYTES:]
                decrypter.segments_into(segments, room, first_index=0, last=True)
                return room
        except (IntegrityError, DecryptError):
            if room is None:
                return self.read(scope, ref)
            self.read_range_into(scope, ref, 0, ref.plain_bytes, room)
            return room
        if room is None:
            return plaintext
        room[:] = plaintext
        return room

    def _first(
        self, scope: Scope, ref: ChunkRef, read_at: Callable[[Place], Found]
    ) -> Found:
        """Return what can be read at a chunk's own place, or at the first repair's."""
        try:
            return read_at(_own_place(ref))
        except IntegrityError:
            for place in self._source.elsewhere(scope, ref):
                try:
                    return read_at(place)
                except IntegrityError:
                    continue
            raise

    def _read_whole(
        self, scope: Scope, place: Place, base: memoryview | None, *, deep: bool
    ) -> memoryview:
        ref = place.ref
        stored = memoryview(bytearray(ref.stored_bytes))
        self._fetch(place, ref.offset_bytes, stored)
        keys = self._source.keys(scope, ref)
        plaintext = chunk_format.decrypt_chunk(keys, ref, stored, base)
        if deep and base is None:
            chunk_format.check_plaintext(keys, ref, plaintext)
        return plaintext

    def _read_segments(
        self, scope: Scope, place: Place, offset_bytes: int, length_bytes: int
    ) -> memoryview:
        ref = place.ref
        part = chunk_format.segment_range(ref, offset_bytes, length_bytes)
        prefix = memoryview(bytearray(PREFIX_BYTES))
        self._fetch(place, ref.offset_bytes, prefix)
        decrypter = chunk_format.open_chunk(
            self._source.keys(scope, ref), ref, bytes(prefix)
        )
        stored = memoryview(bytearray(part.length_bytes))
        self._fetch(place, ref.offset_bytes + part.offset_bytes, stored)
        plaintext = memoryview(bytearray(part.length_bytes))
        try:
            size = decrypter.segments_into(
                stored, plaintext, first_index=part.first_index, last=part.last
            )
        except DecryptError as error:
            raise chunk_format.chunk_error(ref) from error
        end = part.skip_bytes + length_bytes
        if end > size:
            raise chunk_format.chunk_error(ref)
        return plaintext[part.skip_bytes : end].toreadonly()

    def _decrypt_into(
        self, scope: Scope, place: Place, wanted: tuple[int, int], buffer: memoryview
    ) -> int:
        """Decrypt the segments of a RAW chunk that cover a range; see above."""
        ref = place.ref
        part = chunk_format.segment_range(ref, *wanted)
        is_next = part.offset_bytes == PREFIX_BYTES
        # The prefix comes with the first segment; else it is a request of its own.
        with self._buffers.lend(PREFIX_BYTES + part.length_bytes) as stored:
            if is_next:
                self._fetch(place, ref.offset_bytes, stored)
            else:
                self._fetch(place, ref.offset_bytes, stored[:PREFIX_BYTES])
            keys = self._source.keys(scope, ref)
            prefix = bytes(stored[:PREFIX_BYTES])
            decrypter = chunk_format.open_chunk(keys, ref, prefix)
            segments = stored[PREFIX_BYTES:]
            if not is_next:
                self._fetch(place, ref.offset_bytes + part.offset_bytes, segments)
            try:
                size = decrypter.segments_into(
                    segments, buffer, first_index=part.first_index, last=part.last
                )
            except DecryptError as error:
                raise chunk_format.chunk_error(ref) from error
        if size != len(buffer):
            raise chunk_format.chunk_error(ref)
        return part.skip_bytes

    def _fetch(self, place: Place, offset_bytes: int, buffer: memoryview) -> None:
        try:
            self._source.read_into(place, offset_bytes=offset_bytes, buffer=buffer)
        except BlobNotFoundError as error:
            raise IntegrityError(
                f"pack {place.ref.pack[:16]} is gone or cut short",
                reason=Reason.CHUNK_MISSING,
                hint="With a copy of the store: strongroom verify --store --repair; "
                "with the files: strongroom repair VERSION --from DIRECTORY",
                pack=place.ref.pack,
            ) from error


def are_neighbours(one: ChunkRef, other: ChunkRef) -> bool:
    """Tell whether a chunk lies right behind another one, and neither is a delta."""
    return (
        (one.pack, one.pack_version) == (other.pack, other.pack_version)
        and one.offset_bytes + one.stored_bytes == other.offset_bytes
        and one.base is None
        and other.base is None
    )


def _own_place(ref: ChunkRef) -> Place:
    return Place(layout.pack_key(ref.pack), ref.pack_version, ref)
