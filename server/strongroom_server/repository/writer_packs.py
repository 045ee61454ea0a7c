# SPDX-License-Identifier: Apache-2.0
"""Packs that a writer encrypts and puts by itself: named, sealed and looked at here.

What a writer says of a chunk is believed of that writer's own chunks alone. What it
says of the store is looked at before anything refers to it: a pack ends with the
directory that was sealed for it, whose salt nobody could know before.
"""

import contextlib
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Final

from strongroom.errors import ConflictError, Reason, StrongroomError
from strongroom_server.core import cobblestone, layout, pack
from strongroom_server.core.chunk import MAX_CHUNK_BYTES, ChunkRef
from strongroom_server.core.codec_choice import CodecChoice
from strongroom_server.core.derivation import DomainKeys
from strongroom_server.core.suites import writer_suite
from strongroom_server.core.write_grant import (
    MAX_OPEN_CHUNKS,
    MAX_OPEN_PACKS,
    ChunkName,
    DeltaBase,
    NamedChunk,
    PackedChunk,
    SealedPack,
    invalid,
    lay_out,
)
from strongroom_server.ports import BlobNotFoundError, BlobPresigner, SignedPut
from strongroom_server.repository.parents import ParentFiles
from strongroom_server.repository.repository import Repository
from strongroom_server.repository.sharing import Sharing

#: How long a pack may take to be put.
PUT_LIFETIME_S: Final = 300
#: Chunks that are remembered; older ones are found by the index.
MAX_REMEMBERED: Final = 100_000
#: New chunks after which they are put into the index, and time after which fewer are:
#: so much is stored again if the server is killed.
INDEX_CHUNKS: Final = 4096
INDEX_S: Final = 30.0
#: Files of the version before whose chunks are remembered, and those chunks.
_MAX_BASE_FILES: Final = 8
_MAX_BASE_CHUNKS: Final = 65_536
_DIGEST_BYTES: Final = 32
#: Of a version's id, as stores answer with it.
_MAX_VERSION_CHARS: Final = 1024


@dataclass(slots=True)
class _Pack:
    """A pack that was sealed: where its chunks lie, and how far it has come."""

    refs: tuple[ChunkRef, ...]
    trailer: bytes
    size_bytes: int
    digest: str = ""
    stored: "Future[str] | None" = None


class WriterPacks:
    """The chunks of one version that its writer stores. Used by one thread."""

    def __init__(
        self,
        repository: Repository,
        presigner: BlobPresigner,
        keys: DomainKeys,
        sharing: Sharing,
        *,
        writer: bytes,
        choice: CodecChoice,
        base: ParentFiles | None,
    ) -> None:
        """Begin without a pack.

        Args:
            repository: Where they are stored.
            presigner: Lets the writer put them.
            keys: Of the key domain.
            sharing: Says what may be shared.
            writer: The tag of the writer.
            choice: How chunks may be encoded.
            base: The version whose chunks deltas may be made to.
        """
        self._repository = repository
        self._presigner = presigner
        self._keys = keys
        self._sharing = sharing
        self._writer = writer
        self._choice = choice
        self._base = base
        self._base_files: OrderedDict[str, dict[bytes, ChunkRef]] = OrderedDict()
        self.suite = writer_suite(repository.suite)
        self._sealed_count = 0
        self._open: dict[int, _Pack] = {}
        self._open_chunks = 0
        #: In which open pack a chunk lies.
        self._places: dict[bytes, int] = {}
        self._known: OrderedDict[bytes, ChunkRef] = OrderedDict()
        self._fresh: list[ChunkRef] = []
        self._indexed_s = repository.clock.monotonic()
        self._stored_bytes = 0

    def name(self, names: Sequence[ChunkName]) -> list[NamedChunk]:
        """Return ids, and the keys of chunks that are not stored yet, in order."""
        ids = [self._chunk_id(name) for name in names]
        found = [self._known.get(item) or self._find(item) for item in ids]
        self._sharing.expect(ref for ref in found if ref is not None)
        named = []
        for (_, plain_bytes), chunk_id, ref in zip(names, ids, found, strict=True):
            if self._may_refer(ref, plain_bytes):
                named.append(NamedChunk(chunk_id, None))
            else:
                self._known.pop(chunk_id, None)
                named.append(NamedChunk(chunk_id, self._keys.chunk_key(chunk_id)))
        return named

    def seal(self, chunks: Sequence[PackedChunk]) -> SealedPack:
        """Return what belongs around some chunks; the packs are numbered from 0.

        Raises:
            InvalidArgumentError: No pack can be like that, or too many wait.
            ConflictError: The base of a delta is none any more (CHUNK_MISSING).
        """
        ids = [self._chunk_id(chunk.name) for chunk in chunks]
        entries, encoded_bytes = lay_out(chunks, ids, self.suite, self._choice)
        self._make_room(len(chunks))
        bases = [self._base_of(chunk) for chunk in chunks]
        header = pack.format_header(
            self._keys.scope, self.suite.number, has_deltas=any(bases)
        )
        body_bytes = sum(entry.stored_bytes for entry in entries)
        full = len(chunks) == 1 and encoded_bytes == MAX_CHUNK_BYTES
        padding = 0 if full else pack.padding_size(body_bytes)
        salt = self._repository.entropy.token_bytes(cobblestone.SALT_BYTES)
        trailer = pack.format_trailer(self._keys, header, entries, salt=salt)
        refs = tuple(
            ChunkRef(
                entry.chunk_id,
                self.suite.number,
                int(entry.codec),
                self._keys.scope.epoch,
                "",
                "",
                entry.offset_bytes,
                entry.stored_bytes,
                entry.plain_bytes,
                base,
            )
            for entry, base in zip(entries, bases, strict=True)
        )
        size_bytes = len(header) + body_bytes + padding + len(trailer)
        number, self._sealed_count = self._sealed_count, self._sealed_count + 1
        self._open[number] = _Pack(refs, trailer, size_bytes)
        self._open_chunks += len(refs)
        self._places.update(dict.fromkeys(ids, number))
        return SealedPack(header, padding, trailer)

    def put(self, number: int, digest: bytes, *, crc32: int) -> SignedPut:
        """Return what puts a sealed pack, of exactly its length.

        Raises:
            InvalidArgumentError: There is no such pack, it is stored already, or had
                another digest before.
        """
        packed = self._find_open(number)
        if len(digest) != _DIGEST_BYTES or packed.digest not in {"", digest.hex()}:
            raise invalid(f"that is no digest of pack {number}, or not as before")
        packed.digest = digest.hex()
        return self._presigner.presign_put(
            layout.pack_key(packed.digest),
            size_bytes=packed.size_bytes,
            crc32=crc32,
            lifetime_s=PUT_LIFETIME_S,
        )

    def stored(self, number: int, version_id: str) -> None:
        """Take in that a pack is stored, and begin to look whether it is.

        Args:
            number: The pack.
            version_id: Its version; "" if there was such an object already.

        Raises:
            InvalidArgumentError: There is no such pack, or none was to be put.
            ConflictError: A pack told before is not there, no damage (CHUNK_MISSING).
            UnavailableError: S3 failed.
        """
        packed = self._find_open(number)
        if not packed.digest or len(version_id) > _MAX_VERSION_CHARS:
            raise invalid(f"pack {number} was not to be put, or has no such version")
        packed.stored = self._repository.executor.submit(self._look, packed, version_id)
        self._settle_done()

    def refs(self, names: Sequence[ChunkName]) -> tuple[ChunkRef, ...]:
        """Return where chunks lie, once it is known that they are there.

        Raises:
            InvalidArgumentError: A pack that has one of them is not stored.
            ConflictError: One of them is not stored at all (CHUNK_MISSING).
            UnavailableError: S3 failed.
        """
        return tuple(self._ref(name) for name in names)

    def take_stored_bytes(self) -> int:
        """Return how many bytes are known to be durable since the last time."""
        stored_bytes, self._stored_bytes = self._stored_bytes, 0
        return stored_bytes

    def finish(self) -> None:
        """Wait until it is known what is stored, and let uploads find it.

        Raises:
            ConflictError, UnavailableError: As `stored`.
        """
        for number, packed in list(self._open.items()):
            if packed.stored is not None:
                self._settle(number)
        self._index()

    def abort(self) -> None:
        """Stop; what is known to be stored by now is found by later uploads."""
        for number, packed in list(self._open.items()):
            if packed.stored is not None:
                with contextlib.suppress(StrongroomError):
                    self._settle(number)
        with contextlib.suppress(StrongroomError):
            self._index()

    def _chunk_id(self, name: ChunkName) -> bytes:
        digest, plain_bytes = name
        return self._keys.chunk_id(
            digest, plain_bytes, self.suite.digest_algorithm, writer=self._writer
        )

    def _find(self, chunk_id: bytes) -> ChunkRef | None:
        return self._repository.chunk_index.find(self._keys, chunk_id)

    def _may_refer(self, ref: ChunkRef | None, plain_bytes: int) -> bool:
        """Return whether a stored chunk may be referred to; then it is remembered."""
        if (
            ref is None
            or ref.plain_bytes != plain_bytes
            or ref.writer != self._writer
            or not self._sharing.may_share(ref)
        ):
            return False
        self._remember(ref)
        return True

    def _remember(self, ref: ChunkRef) -> None:
        self._known[ref.chunk_id] = ref
        self._known.move_to_end(ref.chunk_id)
        if len(self._known) > MAX_REMEMBERED:
            self._known.popitem(last=False)

    def _ref(self, name: ChunkName) -> ChunkRef:
        chunk_id = self._chunk_id(name)
        known = self._known.get(chunk_id)
        if known is not None:
            return known
        number = self._places.get(chunk_id)
        if number is not None:
            if self._open[number].stored is None:
                raise invalid(f"pack {number} has a chunk of the file, and is not put")
            self._settle(number)
            return self._known[chunk_id]
        found = self._find(chunk_id)
        if found is None or not self._may_refer(found, name[1]):
            raise ConflictError(
                "a chunk of a file is not stored, or not any more",
                reason=Reason.CHUNK_MISSING,
                hint="Push again.",
            )
        return found

    def _find_open(self, number: int) -> _Pack:
        packed = self._open.get(number)
        if packed is None or packed.stored is not None:
            raise invalid(f"there is no pack {number} that is yet to be stored")
        return packed

    def _make_room(self, count: int) -> None:
        for number, packed in list(self._open.items()):
            if (
                len(self._open) < MAX_OPEN_PACKS
                and self._open_chunks + count <= MAX_OPEN_CHUNKS
            ):
                return
            if packed.stored is not None:
                self._settle(number)
        if (
            len(self._open) >= MAX_OPEN_PACKS
            or self._open_chunks + count > MAX_OPEN_CHUNKS
        ):
            raise invalid(
                f"more than {MAX_OPEN_PACKS} packs, or {MAX_OPEN_CHUNKS} chunks, are "
                "sealed and not stored"
            )

    def _base_of(self, chunk: PackedChunk) -> ChunkRef | None:
        if chunk.base is None:
            return None
        found = self._base_chunks(chunk.base).get(chunk.base.chunk_id)
        if found is None or found.plain_bytes != chunk.name[1]:
            raise invalid(f"{chunk.base.path!r} has no such chunk to be a delta's base")
        if not self._sharing.may_be_base(found):
            raise ConflictError(
                "a sweep condemned what a delta was made to, or it is damaged",
                reason=Reason.CHUNK_MISSING,
                hint="Push again.",
            )
        return found

    def _base_chunks(self, base: DeltaBase) -> dict[bytes, ChunkRef]:
        """Return the chunks of a file that may be bases: its own, or theirs."""
        if base.path in self._base_files:
            return self._base_files[base.path]
        entry = None if self._base is None else self._base.find(base.path)
        if entry is None:
            raise invalid(f"no file {base.path!r} has a chunk to be a delta's base")
        wholes = (ref.base or ref for ref in entry.chunks)
        found = {ref.chunk_id: ref for ref in wholes if self._sharing.believes([ref])}
        files = self._base_files
        files[base.path] = found
        while len(files) > _MAX_BASE_FILES or (
            len(files) > 1 and sum(map(len, files.values())) > _MAX_BASE_CHUNKS
        ):
            files.popitem(last=False)
        return found

    def _look(self, packed: _Pack, version_id: str) -> str:
        """Return under which version a pack is stored, once that was looked at."""
        key = layout.pack_key(packed.digest)
        if version_id:
            candidates = [version_id]
        else:
            candidates = [
                item.version_id
                for item in self._repository.blobs.first_versions(key)
                if item.key == key and item.size_bytes == packed.size_bytes
            ]
        for candidate in candidates:
            if self._ends_as_sealed(packed, key, candidate):
                return candidate
        raise ConflictError(
            f"pack {packed.digest[:16]} is not stored as it was sealed",
            reason=Reason.CHUNK_MISSING,
            hint="Push again.",
            pack=packed.digest,
        )

    def _ends_as_sealed(self, packed: _Pack, key: str, version_id: str) -> bool:
        found = bytearray(len(packed.trailer))
        try:
            self._repository.blobs.read_into(
                key,
                version_id=version_id,
                offset_bytes=packed.size_bytes - len(found),
                buffer=memoryview(found),
            )
        except BlobNotFoundError:
            return False
        return found == packed.trailer

    def _settle_done(self) -> None:
        for number, packed in list(self._open.items()):
            if packed.stored is not None and packed.stored.done():
                self._settle(number)

    def _settle(self, number: int) -> None:
        """Wait until it is known whether a pack is stored; then its chunks are."""
        packed = self._open[number]
        if packed.stored is None:
            message = "a pack is settled that was never told to be stored"
            raise AssertionError(message)
        version_id = packed.stored.result()
        del self._open[number]
        self._open_chunks -= len(packed.refs)
        self._stored_bytes += packed.size_bytes
        for ref in packed.refs:
            self._places.pop(ref.chunk_id, None)
            placed = replace(ref, pack=packed.digest, pack_version=version_id)
            self._fresh.append(placed)
            self._remember(placed)
        now_s = self._repository.clock.monotonic()
        if len(self._fresh) >= INDEX_CHUNKS or now_s - self._indexed_s >= INDEX_S:
            self._index()

    def _index(self) -> None:
        fresh, self._fresh = self._fresh, []
        self._indexed_s = self._repository.clock.monotonic()
        if fresh:
            self._repository.chunk_index.add(self._keys, fresh)
