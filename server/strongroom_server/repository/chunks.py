# SPDX-License-Identifier: Apache-2.0
"""Reading chunks: ranged, by pinned version, authenticated before anyone sees them."""

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


class ChunkReader:
    """Reads and authenticates stored chunks. Safe to use from many threads."""

    def __init__(self, *, blobs: BlobStore, keyring: Keyring) -> None:
        self._blobs = blobs
        self._keyring = keyring

    def read(self, scope: Scope, ref: ChunkRef) -> memoryview:
        """Return a whole chunk's plaintext.

        Raises:
            IntegrityError: It is gone or does not authenticate (CHUNK_MISSING,
                CHUNK_CORRUPT).
        """
        stored = memoryview(bytearray(ref.stored_bytes))
        self._fetch(ref, ref.offset_bytes, stored)
        return chunk_format.decrypt_chunk(self._keys(scope, ref), ref, stored)

    def read_range(
        self, scope: Scope, ref: ChunkRef, offset_bytes: int, length_bytes: int
    ) -> memoryview:
        """Return a range of a chunk's plaintext, reading whole segments only.

        The range lies inside the chunk and is not empty. Errors as `read`.
        """
        whole = offset_bytes == 0 and length_bytes == ref.plain_bytes
        if whole or ref.codec != Codec.RAW:
            plaintext = self.read(scope, ref)
            return plaintext[offset_bytes : offset_bytes + length_bytes]
        keys = self._keys(scope, ref)
        part = chunk_format.segment_range(ref, offset_bytes, length_bytes)
        prefix = memoryview(bytearray(PREFIX_BYTES))
        self._fetch(ref, ref.offset_bytes, prefix)
        decrypter = chunk_format.open_chunk(keys, ref, bytes(prefix))
        stored = memoryview(bytearray(part.length_bytes))
        self._fetch(ref, ref.offset_bytes + part.offset_bytes, stored)
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

    def is_there(self, scope: Scope, ref: ChunkRef) -> bool:
        """Return whether a chunk's pack is there and starts the chunk rightly.

        One small request; finds a pack that is gone, cut short or replaced, but
        not every flipped bit: `strongroom verify` does.
        """
        prefix = memoryview(bytearray(PREFIX_BYTES))
        try:
            self._fetch(ref, ref.offset_bytes, prefix)
            chunk_format.open_chunk(self._keys(scope, ref), ref, bytes(prefix))
        except IntegrityError:
            return False
        return True

    def _keys(self, scope: Scope, ref: ChunkRef) -> DomainKeys:
        return self._keyring.open(scope.at_epoch(ref.epoch))

    def _fetch(self, ref: ChunkRef, offset_bytes: int, buffer: memoryview) -> None:
        try:
            self._blobs.read_into(
                layout.pack_key(ref.pack),
                version_id=ref.pack_version,
                offset_bytes=offset_bytes,
                buffer=buffer,
            )
        except BlobNotFoundError as error:
            raise IntegrityError(
                f"pack {ref.pack[:16]} is gone or cut short",
                reason=Reason.CHUNK_MISSING,
                hint="Run `strongroom verify`; restore the pack from a backup.",
                pack=ref.pack,
            ) from error
