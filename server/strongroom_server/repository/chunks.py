# SPDX-License-Identifier: Apache-2.0
"""Reading chunks: ranged, by pinned version, authenticated before anyone sees them.

What is gone or damaged at its own place is looked for among the repairs, and must
authenticate there all the same.
"""

from collections.abc import Callable
from typing import TypeVar

from strongroom.errors import IntegrityError, Reason
from strongroom_server.core import chunk as chunk_format
from strongroom_server.core import layout
from strongroom_server.core.chunk import ChunkRef
from strongroom_server.core.cobblestone import PREFIX_BYTES, DecryptError
from strongroom_server.core.codecs import Codec
from strongroom_server.core.derivation import DomainKeys
from strongroom_server.core.scope import Scope
from strongroom_server.ports import BlobNotFoundError, BlobStore
from strongroom_server.repository.keyring import Keyring
from strongroom_server.repository.repairs import Place, Repairs

Found = TypeVar("Found")


class ChunkReader:
    """Reads and authenticates stored chunks. Safe to use from many threads."""

    def __init__(self, *, blobs: BlobStore, keyring: Keyring, repairs: Repairs) -> None:
        self._blobs = blobs
        self._keyring = keyring
        self._repairs = repairs

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

    def is_there(self, scope: Scope, ref: ChunkRef) -> bool:
        """Return whether a chunk's pack is there and starts the chunk rightly.

        One small request; finds a pack that is gone, cut short or replaced, but
        not every flipped bit: `strongroom verify` does.
        """
        prefix = memoryview(bytearray(PREFIX_BYTES))
        try:
            self._fetch(_own_place(ref), ref.offset_bytes, prefix)
            chunk_format.open_chunk(self._keys(scope, ref), ref, bytes(prefix))
        except IntegrityError:
            return False
        return True

    def _first(
        self, scope: Scope, ref: ChunkRef, read_at: Callable[[Place], Found]
    ) -> Found:
        """Return what can be read at a chunk's own place, or at the first repair's."""
        try:
            return read_at(_own_place(ref))
        except IntegrityError:
            keys = self._keys(scope, ref)
            for place in self._repairs.places(keys, ref):
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
        keys = self._keys(scope, ref)
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
        decrypter = chunk_format.open_chunk(self._keys(scope, ref), ref, bytes(prefix))
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

    def _keys(self, scope: Scope, ref: ChunkRef) -> DomainKeys:
        return self._keyring.open(scope.at_epoch(ref.epoch))

    def _fetch(self, place: Place, offset_bytes: int, buffer: memoryview) -> None:
        try:
            self._blobs.read_into(
                place.key,
                version_id=place.version_id,
                offset_bytes=offset_bytes,
                buffer=buffer,
            )
        except BlobNotFoundError as error:
            raise IntegrityError(
                f"pack {place.ref.pack[:16]} is gone or cut short",
                reason=Reason.CHUNK_MISSING,
                hint="With a copy of the store: strongroom verify --store --repair; "
                "with the files: strongroom repair VERSION --from DIRECTORY",
                pack=place.ref.pack,
            ) from error


def _own_place(ref: ChunkRef) -> Place:
    return Place(layout.pack_key(ref.pack), ref.pack_version, ref)
