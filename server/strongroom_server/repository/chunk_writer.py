# SPDX-License-Identifier: Apache-2.0
"""Storing chunks: known ones are shared, new ones encoded as the policy says."""

from typing import Final, Protocol

from strongroom.errors import IntegrityError
from strongroom_server.core import codecs
from strongroom_server.core.chunk import ChunkRef
from strongroom_server.core.codec_choice import CodecChoice
from strongroom_server.core.codecs import Buffer, Codec
from strongroom_server.core.derivation import DomainKeys
from strongroom_server.repository.chunk_encoding import (
    NO_HINT,
    ChunkEncoder,
    ChunkHint,
)
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


class ChunkSink(Protocol):
    """Takes in the chunks of files."""

    def add(
        self, packs: PackWriter, plaintext: Buffer, hint: ChunkHint = NO_HINT
    ) -> PendingChunk:
        """Take in a chunk of a file, which belongs to the sink from now on."""
        ...


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
        self._encoder = ChunkEncoder(choice, self._read_base)
        self._own: dict[bytes, PendingChunk] = {}
        self._page_encoding = Encoding(_compressed, 0)

    def add(
        self, packs: PackWriter, plaintext: Buffer, hint: ChunkHint = NO_HINT
    ) -> PendingChunk:
        """Take in a chunk of a file, which belongs to the writer from now on."""
        return self._add(packs, plaintext, self._encoder.encoding(len(plaintext), hint))

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

    def _read_base(self, base: ChunkRef) -> Buffer | None:
        # What another writer lied about must not be what this version is read by.
        if not self._sharing.believes([base]) or not self._sharing.may_be_base(base):
            return None
        try:
            return self._repository.chunks.read_pinned(self._keys.scope, base)
        except IntegrityError:
            # The parent version is damaged, which this one shall not inherit.
            return None


def _compressed(plaintext: Buffer) -> Encoded:
    return Encoded(codecs.encode(Codec.ZSTD, plaintext), Codec.ZSTD)
