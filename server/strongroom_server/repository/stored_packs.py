# SPDX-License-Identifier: Apache-2.0
"""Packs as central makes them: with the keys of a domain, into the store."""

from collections.abc import Sequence
from typing import Final

from strongroom_server.core import chunk as chunk_format
from strongroom_server.core import cobblestone, layout, pack
from strongroom_server.core.chunk import MAX_CHUNK_BYTES, ChunkRef
from strongroom_server.core.codecs import Codec
from strongroom_server.core.derivation import DomainKeys
from strongroom_server.core.suites import Suite
from strongroom_server.ports import BlobStore, Entropy
from strongroom_server.repository.named_blobs import put_by_digest
from strongroom_server.repository.packs import Encoded, PackItem, StoredPack

#: Randomness in the salt of a chunk.
_SEED_BYTES: Final = 32


class DomainPacks:
    """A `PackStorage` of one key domain."""

    def __init__(
        self, keys: DomainKeys, suite: Suite, *, blobs: BlobStore, entropy: Entropy
    ) -> None:
        self._keys = keys
        self._suite = suite
        self._blobs = blobs
        self._entropy = entropy

    def store(self, items: Sequence[PackItem]) -> StoredPack:
        """See `PackStorage`.

        Raises:
            UnavailableError: S3 failed at every attempt.
        """
        data, entries = self._build(items)
        digest = self._suite.digest(data).hex()
        version = put_by_digest(self._blobs, layout.pack_key(digest), data)
        refs = [
            ChunkRef(
                entry.chunk_id,
                self._suite.number,
                int(entry.codec),
                self._keys.scope.epoch,
                digest,
                version,
                entry.offset_bytes,
                entry.stored_bytes,
                entry.plain_bytes,
                item.encoded.base,
            )
            for entry, item in zip(entries, items, strict=True)
        ]
        return StoredPack([item.pending for item in items], refs, len(data))

    def _build(
        self, items: Sequence[PackItem]
    ) -> tuple[bytearray, list[pack.PackEntry]]:
        segment_bytes = self._suite.segment_bytes
        plain_sizes = [len(item.encoded.data) for item in items]
        sizes = [
            cobblestone.encrypted_size(size, segment_bytes) for size in plain_sizes
        ]
        body_bytes = sum(sizes)
        full = plain_sizes == [MAX_CHUNK_BYTES]
        padding = 0 if full else pack.padding_size(body_bytes)
        header = pack.format_header(
            self._keys.scope,
            self._suite.number,
            has_deltas=any(item.encoded.base is not None for item in items),
        )
        data = bytearray(len(header) + body_bytes + padding)
        data[: len(header)] = header
        entries = []
        offset = len(header)
        # Drawn at once: each call would cost as much as a small chunk.
        seeds = memoryview(self._entropy.token_bytes(_SEED_BYTES * len(items)))
        for number, (item, size) in enumerate(zip(items, sizes, strict=True)):
            seed = bytes(seeds[_SEED_BYTES * number :][:_SEED_BYTES])
            with memoryview(data)[offset : offset + size] as target:
                entries.append(self._encrypt(item, target, offset, seed))
            offset += size
        data[offset:] = self._entropy.token_bytes(padding)
        salt = self._entropy.token_bytes(cobblestone.SALT_BYTES)
        data += pack.format_trailer(self._keys, header, entries, salt=salt)
        return data, entries

    def _encrypt(
        self, item: PackItem, target: memoryview, offset_bytes: int, seed: bytes
    ) -> pack.PackEntry:
        pending, encoded = item.pending, item.encoded
        is_raw = encoded.codec is Codec.RAW
        digest = pending.digest if is_raw else self._suite.digest(encoded.data)
        salt = self._keys.chunk_salt(
            seed, pending.chunk_id, bytes([encoded.codec]) + digest
        )
        base_id = b"" if encoded.base is None else encoded.base.chunk_id
        chunk_format.encrypt_chunk(
            self._keys,
            self._suite,
            encoded.codec,
            pending.chunk_id,
            encoded.data,
            plain_bytes=pending.plain_bytes,
            base_id=base_id,
            salt=salt,
            buffer=target,
        )
        # What is encrypted is not needed any more, and may be large.
        item.encoded = Encoded(b"", encoded.codec, encoded.base)
        return pack.PackEntry(
            pending.chunk_id,
            offset_bytes,
            len(target),
            pending.plain_bytes,
            encoded.codec,
            base_id,
        )
