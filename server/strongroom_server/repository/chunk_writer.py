# SPDX-License-Identifier: Apache-2.0
"""Storing chunks: known ones are shared, new ones encoded as the policy says.

What is compressed is one chunk by itself, or its difference to one other chunk of
the same artifact; never several files together, so that the stored size of one
file says nothing about another.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from strongroom.errors import IntegrityError
from strongroom_server.core import codec_choice, codecs
from strongroom_server.core.chunk import ChunkRef
from strongroom_server.core.codec_choice import CodecChoice
from strongroom_server.core.codecs import Buffer, Codec
from strongroom_server.core.derivation import DomainKeys
from strongroom_server.repository.packs import (
    Encoded,
    Encoding,
    PackWriter,
    PendingChunk,
)
from strongroom_server.repository.repository import Repository
from strongroom_server.repository.sharing import Sharing

#: Chunks of this content that are remembered for deduplication within it.
_MAX_OWN_CHUNKS: Final = 100_000


@dataclass(frozen=True, slots=True)
class ChunkHint:
    """What is known of a chunk beside its bytes.

    Attributes:
        widths: Bytes of its numbers, if it is known to be floating point.
        base: A stored chunk that it may be alike to; no delta itself.
    """

    widths: Sequence[int] = ()
    base: ChunkRef | None = None


NO_HINT: Final = ChunkHint()


class ChunkWriter:
    """Stores the chunks of one version. Used by one thread."""

    def __init__(
        self,
        repository: Repository,
        keys: DomainKeys,
        sharing: Sharing,
        choice: CodecChoice,
    ) -> None:
        self._repository = repository
        self._keys = keys
        self._sharing = sharing
        self._choice = choice
        self._own: dict[bytes, PendingChunk] = {}
        self._page_encoding = Encoding(_compressed, 0)

    def add(
        self, packs: PackWriter, plaintext: Buffer, hint: ChunkHint = NO_HINT
    ) -> PendingChunk:
        """Take in a chunk of a file, which belongs to the writer from now on."""
        return self._add(packs, plaintext, self._encoding(len(plaintext), hint))

    def add_page(self, packs: PackWriter, plaintext: bytes) -> PendingChunk:
        """Take in a chunk of the file table: text, always compressed."""
        return self._add(packs, plaintext, self._page_encoding)

    def _add(
        self, packs: PackWriter, plaintext: Buffer, encoding: Encoding | None
    ) -> PendingChunk:
        suite = self._repository.suite
        digest = suite.digest(plaintext)
        chunk_id = self._keys.chunk_id(digest, len(plaintext), suite.digest_algorithm)
        own = self._own.get(chunk_id)
        if own is not None:
            return own
        known = self._repository.chunk_index.find(self._keys, chunk_id)
        if (
            known is not None
            and known.plain_bytes == len(plaintext)
            and self._sharing.may_share(known)
        ):
            self._sharing.use([known])
            return PendingChunk(chunk_id, len(plaintext), known)
        pending = packs.add(chunk_id, plaintext, digest=digest, encoding=encoding)
        if len(self._own) < _MAX_OWN_CHUNKS:
            self._own[chunk_id] = pending
        return pending

    def _encoding(self, size_bytes: int, hint: ChunkHint) -> Encoding | None:
        if self._choice is CodecChoice.RAW or size_bytes < codec_choice.MIN_BYTES:
            return None
        base = hint.base if self._choice is CodecChoice.DELTA else None
        if base is None or size_bytes < codec_choice.MIN_DELTA_BYTES:
            return Encoding(partial(_encode, widths=hint.widths), size_bytes)
        # The base as it is stored, decrypted and decoded, and what becomes of it.
        return Encoding(
            partial(self._encode_delta, base=base, widths=hint.widths), 4 * size_bytes
        )

    def _encode_delta(
        self, plaintext: Buffer, *, base: ChunkRef, widths: Sequence[int]
    ) -> Encoded:
        """Encode a chunk, as a delta if its base can be read and is worth it."""
        if base.plain_bytes != len(plaintext) or not self._sharing.may_be_base(base):
            return _encode(plaintext, widths=widths)
        try:
            base_plaintext = self._repository.chunks.read_pinned(self._keys.scope, base)
        except IntegrityError:
            # The parent version is damaged, which this one shall not inherit.
            return _encode(plaintext, widths=widths)
        without = codec_choice.choose(plaintext, widths)
        chosen = codec_choice.choose_delta(plaintext, base_plaintext, without, widths)
        if chosen.codec is not Codec.DELTA:
            return _encode_as(plaintext, chosen)
        data = codecs.encode(
            Codec.DELTA, plaintext, width=chosen.width, base=base_plaintext
        )
        return Encoded(data, Codec.DELTA, base)


def _encode(plaintext: Buffer, *, widths: Sequence[int]) -> Encoded:
    return _encode_as(plaintext, codec_choice.choose(plaintext, widths))


def _encode_as(plaintext: Buffer, chosen: codec_choice.Chosen) -> Encoded:
    """Encode a chunk; it stays as it is if that saves too little of all of it."""
    data = codecs.encode(chosen.codec, plaintext, width=chosen.width)
    if len(data) > (1 - codec_choice.MIN_SAVING) * len(plaintext):
        return Encoded(plaintext)
    return Encoded(data, chosen.codec)


def _compressed(plaintext: Buffer) -> Encoded:
    return Encoded(codecs.encode(Codec.ZSTD, plaintext), Codec.ZSTD)
