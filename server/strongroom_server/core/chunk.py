# SPDX-License-Identifier: Apache-2.0
"""One encrypted chunk: its key, its context, its bytes in a pack.

A chunk's context names everything that gives its bytes their meaning (suite,
codec, project, domain, epoch, id and both lengths, for a delta its base as well),
and the context is part of the key derivation, so it is authenticated and
committed to.
"""

import hmac
import struct
from dataclasses import dataclass
from typing import Final, Protocol

from strongroom.errors import IntegrityError, Reason
from strongroom_server.core import cobblestone, codecs
from strongroom_server.core.cobblestone import PREFIX_BYTES, TAG_BYTES
from strongroom_server.core.derivation import WRITER_TAG_BYTES, DomainKeys
from strongroom_server.core.scope import Scope
from strongroom_server.core.suites import DigestAlgorithm, Suite, find_suite

#: The most plaintext that one chunk, and one pack, holds.
MAX_CHUNK_BYTES: Final = 16 * 1024 * 1024
CHUNK_ID_BYTES: Final = 32
#: magic, suite, flags, codec, project, domain, epoch, zero: 52 bytes
HEADER: Final = struct.Struct(">4sHBB39s5s")
MAGIC: Final = b"SRC1"


class ChunkKeys(Protocol):
    """What a chunk is read with: a domain's keys, or a key granted for it alone."""

    @property
    def scope(self) -> Scope:
        """What the keys belong to, with the epoch of the chunk."""
        ...

    def chunk_key(self, chunk_id: bytes) -> bytes:
        """Return the key of one chunk."""
        ...

    def chunk_id(
        self,
        digest: bytes,
        size_bytes: int,
        algorithm: DigestAlgorithm,
        *,
        writer: bytes = b"",
    ) -> bytes | None:
        """Return the id of a plaintext; None from keys that open but cannot name."""
        ...


@dataclass(frozen=True, slots=True)
class ChunkRef:
    """Where a chunk lies and how it is read.

    Attributes:
        chunk_id: 32 bytes, keyed.
        suite: The suite number.
        codec: The codec number.
        epoch: The epoch of the key that encrypted it.
        pack: The pack's digest, 64 hex digits.
        pack_version: The pack's version id in the store.
        offset_bytes: Where the chunk starts in the pack.
        stored_bytes: Its length in the pack.
        plain_bytes: The length of its plaintext.
        base: If it is a delta, the chunk that it differs from; never itself a
            delta, so that a chain has one link.
        encoded_bytes: The length after the codec, before encryption.
        packs: The packs that it is read from: its own, and its base's.
        writer: The tag of who named it by its own digest; empty if the server did,
            which saw its bytes.
    """

    chunk_id: bytes
    suite: int
    codec: int
    epoch: int
    pack: str
    pack_version: str
    offset_bytes: int
    stored_bytes: int
    plain_bytes: int
    base: "ChunkRef | None" = None

    @property
    def packs(self) -> tuple[str, ...]:
        """The packs that it is read from: its own, and its base's."""
        return (self.pack,) if self.base is None else (self.pack, self.base.pack)

    @property
    def encoded_bytes(self) -> int:
        """The length after the codec, as the ciphertext's length tells it."""
        segment_bytes = find_suite(self.suite).segment_bytes
        return cobblestone.decrypted_size(self.stored_bytes, segment_bytes)

    @property
    def writer(self) -> bytes:
        """The tag of who named it; empty if the server did, which saw its bytes."""
        if find_suite(self.suite).by_writer:
            return self.chunk_id[:WRITER_TAG_BYTES]
        return b""


@dataclass(frozen=True, slots=True)
class SegmentRange:
    """The whole segments of a stored chunk that cover a range of plaintext.

    Attributes:
        first_index: The first segment's number.
        offset_bytes: Where it starts in the stored chunk.
        length_bytes: How many stored bytes to fetch.
        skip_bytes: How much decrypted plaintext precedes the range.
        last: Whether the chunk's last segment is among them.
    """

    first_index: int
    offset_bytes: int
    length_bytes: int
    skip_bytes: int
    last: bool


def encrypt_chunk(
    keys: DomainKeys,
    suite: Suite,
    codec: codecs.Codec,
    chunk_id: bytes,
    encoded: bytes | bytearray | memoryview,
    *,
    plain_bytes: int,
    base_id: bytes = b"",
    salt: bytes,
    buffer: memoryview,
) -> None:
    """Encrypt an encoded chunk into `buffer`, which fits it exactly.

    `base_id` is the id of the chunk that a delta differs from, else empty.
    """
    encrypt_with_key(
        keys.chunk_key(chunk_id),
        keys.scope,
        suite,
        codec,
        chunk_id,
        encoded,
        plain_bytes=plain_bytes,
        base_id=base_id,
        salt=salt,
        buffer=buffer,
    )


def encrypt_with_key(  # noqa: PLR0917 -- as `encrypt_chunk`, with a key of its own
    key: bytes,
    scope: Scope,
    suite: Suite,
    codec: codecs.Codec,
    chunk_id: bytes,
    encoded: bytes | bytearray | memoryview,
    *,
    plain_bytes: int,
    base_id: bytes = b"",
    salt: bytes,
    buffer: memoryview,
) -> None:
    """Encrypt an encoded chunk with its key, for who has no other; see above."""
    cobblestone.encrypt_into(
        key,
        encoded,
        buffer,
        context=chunk_context(
            scope,
            suite.number,
            codec,
            chunk_id,
            plain_bytes,
            len(encoded),
            base_id,
        ),
        salt=salt,
        segment_bytes=suite.segment_bytes,
    )


def open_chunk(keys: ChunkKeys, ref: ChunkRef, prefix: bytes) -> cobblestone.Decrypter:
    """Check a stored chunk's first 56 bytes and return what decrypts the rest.

    Raises:
        IntegrityError: They are not of this chunk (CHUNK_CORRUPT).
    """
    try:
        return cobblestone.Decrypter(
            keys.chunk_key(ref.chunk_id),
            prefix,
            context=chunk_context(
                keys.scope,
                ref.suite,
                ref.codec,
                ref.chunk_id,
                ref.plain_bytes,
                ref.encoded_bytes,
                b"" if ref.base is None else ref.base.chunk_id,
            ),
            segment_bytes=find_suite(ref.suite).segment_bytes,
        )
    except (cobblestone.DecryptError, ValueError) as error:
        raise chunk_error(ref) from error


def decrypt_chunk(
    keys: ChunkKeys,
    ref: ChunkRef,
    stored: memoryview,
    base: memoryview | None = None,
) -> memoryview:
    """Return the plaintext of a whole stored chunk.

    Args:
        keys: The keys of its epoch.
        ref: The chunk.
        stored: Its bytes in the pack.
        base: If it is a delta, the plaintext of its base.

    Raises:
        IntegrityError: It does not authenticate, or, being a delta, does not have
            its id (CHUNK_CORRUPT).
    """
    if len(stored) != ref.stored_bytes or (base is None) != (ref.base is None):
        raise chunk_error(ref)
    decrypter = open_chunk(keys, ref, bytes(stored[:PREFIX_BYTES]))
    encoded = bytearray(ref.encoded_bytes)
    try:
        decrypter.segments_into(
            stored[PREFIX_BYTES:], memoryview(encoded), first_index=0, last=True
        )
        if ref.codec == codecs.Codec.RAW and len(encoded) == ref.plain_bytes:
            return memoryview(encoded).toreadonly()
        plaintext = codecs.decode(ref.codec, encoded, ref.plain_bytes, base)
    except (cobblestone.DecryptError, codecs.CodecError) as error:
        raise chunk_error(ref) from error
    if ref.base is not None:
        # A base that authenticates may still be another than the writer's, if the
        # writer was wrong; only the id speaks for the plaintext itself.
        check_plaintext(keys, ref, plaintext)
    return plaintext


def authenticate_chunk(keys: ChunkKeys, ref: ChunkRef, stored: memoryview) -> None:
    """Check that stored bytes are a chunk's, whatever they decode to.

    Raises:
        IntegrityError: They are not (CHUNK_CORRUPT).
    """
    if len(stored) != ref.stored_bytes:
        raise chunk_error(ref)
    decrypter = open_chunk(keys, ref, bytes(stored[:PREFIX_BYTES]))
    encoded = memoryview(bytearray(ref.encoded_bytes))
    try:
        decrypter.segments_into(
            stored[PREFIX_BYTES:], encoded, first_index=0, last=True
        )
    except cobblestone.DecryptError as error:
        raise chunk_error(ref) from error


def check_plaintext(keys: ChunkKeys, ref: ChunkRef, plaintext: memoryview) -> None:
    """Check that a chunk's plaintext has the chunk's id, if the keys can tell.

    With granted keys only the file's digest, which its reader checks, finds a writer's
    mistake: what names contents would also let a sidecar guess them.

    Raises:
        IntegrityError: It has not (CHUNK_CORRUPT).
    """
    suite = find_suite(ref.suite)
    found = keys.chunk_id(
        suite.digest(plaintext),
        len(plaintext),
        suite.digest_algorithm,
        writer=ref.writer,
    )
    if found is not None and not hmac.compare_digest(found, ref.chunk_id):
        raise chunk_error(ref)


def segment_range(ref: ChunkRef, offset_bytes: int, length_bytes: int) -> SegmentRange:
    """Return the whole segments that cover a range of a RAW chunk's plaintext.

    The range must be inside the chunk and not empty.
    """
    segment_bytes = find_suite(ref.suite).segment_bytes
    stride = segment_bytes + TAG_BYTES
    first = offset_bytes // segment_bytes
    end = (offset_bytes + length_bytes - 1) // segment_bytes + 1
    last_index = ref.encoded_bytes // segment_bytes
    last = end >= last_index
    start = PREFIX_BYTES + first * stride
    stop = ref.stored_bytes if last else PREFIX_BYTES + end * stride
    return SegmentRange(
        first, start, stop - start, offset_bytes - first * segment_bytes, last
    )


def room_bytes(ref: ChunkRef, offset_bytes: int, length_bytes: int) -> int:
    """Return how much room it takes to decrypt a range in place.

    Of a RAW chunk whole segments are decrypted; of any other one only the range
    itself is written.
    """
    if ref.codec != codecs.Codec.RAW:
        return length_bytes
    segment_bytes = find_suite(ref.suite).segment_bytes
    part = segment_range(ref, offset_bytes, length_bytes)
    stride = segment_bytes + TAG_BYTES
    if part.last:
        return ref.encoded_bytes - part.first_index * segment_bytes
    return part.length_bytes // stride * segment_bytes


def chunk_context(  # noqa: PLR0917 -- the fields of one byte table, in its order
    scope: Scope,
    suite: int,
    codec: int,
    chunk_id: bytes,
    plain_bytes: int,
    encoded_bytes: int,
    base_id: bytes = b"",
) -> bytes:
    """Return what a chunk is bound to: docs/format.md, section "Chunk"."""
    header = HEADER.pack(MAGIC, suite, 0, codec, scope.domain_header, bytes(5))
    return (
        header
        + chunk_id
        + plain_bytes.to_bytes(8, "big")
        + encoded_bytes.to_bytes(8, "big")
        + base_id
    )


def chunk_error(ref: ChunkRef) -> IntegrityError:
    """Return the error for a chunk that does not authenticate."""
    return IntegrityError(
        f"a chunk in pack {ref.pack[:16]} is damaged",
        reason=Reason.CHUNK_CORRUPT,
        hint=(
            "With a copy of the store: strongroom verify --store --repair; with the "
            "files: strongroom repair VERSION --from DIRECTORY"
        ),
        pack=ref.pack,
        offset_bytes=ref.offset_bytes,
    )
