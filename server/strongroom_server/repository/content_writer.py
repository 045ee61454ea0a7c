# SPDX-License-Identifier: Apache-2.0
"""Writing a version's content: files to chunks to packs, and the file table.

Of content, memory holds one chunk of the open file and a few packs under way; of
the file table, the open page, and references to the chunks of the open file and to
the pages so far.
"""

import contextlib
import hashlib
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Final

from strongroom.errors import (
    IntegrityError,
    InvalidArgumentError,
    Reason,
    StrongroomError,
)
from strongroom.format.chunking import Cutter
from strongroom.format.digest import VersionDigester, format_digest, parse_digest
from strongroom.format.names import check_path
from strongroom_server.core import codecs, filetable
from strongroom_server.core.chunk import MAX_CHUNK_BYTES, ChunkRef
from strongroom_server.core.derivation import DomainKeys
from strongroom_server.core.filetable import FileEntry, PageRef
from strongroom_server.core.manifest import Manifest
from strongroom_server.repository.packs import (
    PackWriter,
    PendingChunk,
    are_durable,
    refs_of,
)
from strongroom_server.repository.repository import Repository

MAX_BLOCK_BYTES: Final = 1024 * 1024
#: New chunks after which an index segment is written, however long the upload goes
#: on: 64 GiB at most are stored again if the server is killed.
INDEX_CHUNKS: Final = 4096
#: Files whose chunks may still be under way before a half-full pack is sent off.
_MAX_PENDING_FILES: Final = 10_000
#: Chunks of this content that are remembered for deduplication within it.
_MAX_OWN_CHUNKS: Final = 100_000


@dataclass(frozen=True, slots=True)
class StoredContent:
    """A version's content, durable: its manifest and what it newly stored."""

    manifest: str
    manifest_version: str
    digest: str
    file_count: int
    size_bytes: int
    stored_bytes: int


@dataclass(slots=True)
class _OpenFile:
    path: str
    size_bytes: int
    executable: bool
    cutter: Cutter
    hasher: "hashlib._Hash" = field(default_factory=hashlib.sha256)
    received_bytes: int = 0
    next_end: int | None = None
    buffer: bytearray = field(default_factory=bytearray)
    chunks: list[PendingChunk] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _PendingFile:
    path: str
    size_bytes: int
    digest: str
    executable: bool
    chunks: tuple[PendingChunk, ...]


@dataclass(frozen=True, slots=True)
class _PendingPage:
    page: PageRef
    chunks: tuple[PendingChunk, ...]


class ContentWriter:
    """Stores the content of one version. Used by one thread."""

    def __init__(
        self, repository: Repository, keys: DomainKeys, artifact: bytes
    ) -> None:
        self._repository = repository
        self._keys = keys
        self._artifact = artifact
        self._data_packs = self._pack_writer()
        self._page_packs = self._pack_writer()
        self._own: dict[bytes, PendingChunk] = {}
        self._packs_there: dict[str, bool] = {}
        self._digester = VersionDigester()
        self._modes = hashlib.sha256()
        self._file: _OpenFile | None = None
        self._files: deque[_PendingFile] = deque()
        self._page: list[FileEntry] = []
        self._page_chunks = 0
        self._pending_pages: deque[_PendingPage] = deque()
        self._pages: list[PageRef] = []
        self.file_count = 0
        self.received_bytes = 0

    @property
    def stored_bytes(self) -> int:
        """How many bytes of packs are durable so far."""
        return self._data_packs.stored_bytes + self._page_packs.stored_bytes

    @property
    def digest(self) -> str:
        """The version digest of the files so far."""
        return self._digester.digest()

    @property
    def modes_digest(self) -> bytes:
        """A digest of which files are executable; see `modes_digest_of`."""
        return self._modes.digest()

    def abort(self) -> None:
        """Stop; what is stored already is garbage, until a later upload finds it.

        After `finish` there is nothing left to stop.
        """
        self._data_packs.abort()
        self._page_packs.abort()
        # What stays unknown is stored once more; why it ended matters more.
        with contextlib.suppress(StrongroomError):
            self._index_durable()

    def start_file(self, path: str, *, size_bytes: int, executable: bool) -> None:
        """Begin the next file; paths come in strictly increasing byte order.

        Raises:
            InvalidArgumentError: The path is malformed, or a file is open.
        """
        if self._file is not None:
            raise _protocol("a file starts before the last one ended")
        check_path(path)
        if not 0 <= size_bytes <= filetable.MAX_FILE_BYTES:
            raise _protocol(
                f"file {path!r} has {size_bytes} bytes; "
                f"at most {filetable.MAX_FILE_BYTES} are possible"
            )
        self._file = _OpenFile(path, size_bytes, executable, Cutter(path, size_bytes))

    def write(self, data: bytes, *, offset_bytes: int) -> None:
        """Take in the next bytes of the open file.

        Raises:
            InvalidArgumentError: No file is open, the block is too large, not at
                the file's end so far, or goes beyond its size.
        """
        file = self._file
        if file is None:
            raise _protocol("a block comes before its file")
        if len(data) > MAX_BLOCK_BYTES:
            raise InvalidArgumentError(
                f"a block has {len(data)} bytes; at most {MAX_BLOCK_BYTES} may come",
                reason=Reason.BLOCK_TOO_LARGE,
            )
        if offset_bytes != file.received_bytes:
            raise InvalidArgumentError(
                f"a block starts at {offset_bytes}, not at {file.received_bytes}",
                reason=Reason.OFFSET_MISMATCH,
                offset_bytes=offset_bytes,
                expected=file.received_bytes,
            )
        if offset_bytes + len(data) > file.size_bytes:
            raise _protocol(f"file {file.path!r} has more bytes than it said")
        file.hasher.update(data)
        file.received_bytes += len(data)
        self.received_bytes += len(data)
        self._cut(file, data)

    def end_file(self, digest: str) -> None:
        """End the open file.

        Raises:
            InvalidArgumentError: Bytes are missing.
            IntegrityError: The bytes received do not have this digest
                (DIGEST_MISMATCH).
        """
        file = self._file
        if file is None:
            raise _protocol("a file ends before it started")
        if file.received_bytes != file.size_bytes:
            raise _protocol(f"file {file.path!r} has fewer bytes than it said")
        found = format_digest(file.hasher.digest())
        if parse_digest(digest) != parse_digest(found):
            raise IntegrityError(
                f"file {file.path!r} was damaged on the way",
                reason=Reason.DIGEST_MISMATCH,
                hint="Push again.",
                path=file.path,
            )
        self._digester.add(file.path, file.size_bytes, found)
        if file.executable:
            self._modes.update(_mode_line(file.path))
        self._files.append(
            _PendingFile(
                file.path, file.size_bytes, found, file.executable, tuple(file.chunks)
            )
        )
        self._file = None
        self.file_count += 1
        self._data_packs.poll()
        if len(self._files) > _MAX_PENDING_FILES:
            self._data_packs.finish()
        self._drain()

    def check_ended(self) -> None:
        """Check that no file is open.

        Raises:
            InvalidArgumentError: One is.
        """
        if self._file is not None:
            raise _protocol(f"file {self._file.path!r} has not ended")

    def may_share(self, ref: ChunkRef) -> bool:
        """Return whether a stored chunk's pack is still there; asked once a pack."""
        return self._is_there(ref, ref.plain_bytes)

    def finish(self) -> StoredContent:
        """Make everything durable, in the write order, and store the manifest.

        Raises:
            InvalidArgumentError: A file is open.
            ExhaustedError: The version is too large to be read back (TOO_LARGE).
            UnavailableError: S3 failed.
        """
        self.check_ended()
        self._data_packs.finish()
        self._drain()
        self._end_page()
        self._page_packs.finish()
        self._settle_pages()
        self._index_durable()
        manifest = Manifest(
            self._artifact,
            self.digest,
            self.file_count,
            self.received_bytes,
            tuple(self._pages),
        )
        stored = self._repository.manifests.store(self._keys.scope, manifest)
        return StoredContent(
            stored.manifest,
            stored.version_id,
            manifest.digest,
            manifest.file_count,
            manifest.size_bytes,
            self.stored_bytes + stored.size_bytes,
        )

    def _pack_writer(self) -> PackWriter:
        repository = self._repository
        return PackWriter(
            self._keys,
            repository.suite,
            blobs=repository.blobs,
            entropy=repository.entropy,
            executor=repository.executor,
            budget=repository.write_budget,
        )

    def _cut(self, file: _OpenFile, data: bytes) -> None:
        file.buffer += data
        start = file.received_bytes - len(file.buffer)
        while file.buffer:
            if file.next_end is None:
                # A header of 15 MiB becomes 240 MiB of objects: one at a time.
                with self._repository.header_lock:
                    file.next_end = file.cutter.next_end(file.buffer)
            if file.next_end is None or file.next_end > file.received_bytes:
                return
            size = file.next_end - start
            if size == len(file.buffer):
                chunk, file.buffer = file.buffer, bytearray()
            else:
                chunk, file.buffer = file.buffer[:size], file.buffer[size:]
            file.chunks.append(self._add_chunk(self._data_packs, chunk))
            start, file.next_end = file.next_end, None
            if self._data_packs.durable_count >= INDEX_CHUNKS:
                self._index_durable()

    def _index_durable(self) -> None:
        """Let uploads find what is durable; before the commit does no harm."""
        fresh = [*self._data_packs.take_durable(), *self._page_packs.take_durable()]
        if fresh:
            self._repository.chunk_index.add(self._keys, fresh)

    def _add_chunk(
        self,
        packs: PackWriter,
        plaintext: bytes | bytearray,
        codec: codecs.Codec = codecs.Codec.RAW,
    ) -> PendingChunk:
        suite = self._repository.suite
        chunk_id = self._keys.chunk_id(
            suite.digest(plaintext), len(plaintext), suite.digest_algorithm
        )
        own = self._own.get(chunk_id)
        if own is not None:
            return own
        known = self._repository.chunk_index.find(self._keys, chunk_id)
        if known is not None and self._is_there(known, len(plaintext)):
            return PendingChunk(chunk_id, len(plaintext), codec, known)
        encoded = plaintext
        if codec is not codecs.Codec.RAW:
            encoded = codecs.encode(codec, bytes(plaintext))
        pending = packs.add(chunk_id, encoded, plain_bytes=len(plaintext), codec=codec)
        if len(self._own) < _MAX_OWN_CHUNKS:
            self._own[chunk_id] = pending
        return pending

    def _is_there(self, ref: ChunkRef, size_bytes: int) -> bool:
        """Return whether a known chunk may be shared: its pack must still be there.

        Asked once a pack. While the bytes are at hand, a pack that is gone costs
        only storing them again; a version must never point at it.
        """
        if ref.plain_bytes != size_bytes:
            return False
        there = self._packs_there.get(ref.pack)
        if there is None:
            there = self._repository.chunks.is_there(self._keys.scope, ref)
            if len(self._packs_there) < _MAX_OWN_CHUNKS:
                self._packs_there[ref.pack] = there
        return there

    def _drain(self) -> None:
        """Move files whose chunks are durable into pages, and full pages away."""
        while self._files and are_durable(self._files[0].chunks):
            file = self._files.popleft()
            refs = refs_of(file.chunks)
            if self._page_chunks + len(refs) > filetable.MAX_PAGE_CHUNKS:
                self._end_page()
            self._page_chunks += len(refs)
            self._page.append(
                FileEntry(
                    file.path, file.size_bytes, file.digest, file.executable, refs
                )
            )
            full = len(self._page) == filetable.MAX_PAGE_FILES
            if full or filetable.ends_page(file.path):
                self._end_page()

    def _end_page(self) -> None:
        if not self._page:
            return
        data = filetable.format_page(self._page)
        chunks = tuple(
            self._add_chunk(
                self._page_packs,
                data[start : start + MAX_CHUNK_BYTES],
                codecs.Codec.ZSTD,
            )
            for start in range(0, len(data), MAX_CHUNK_BYTES)
        )
        page = filetable.page_of(self._page, ())
        self._pending_pages.append(_PendingPage(page, chunks))
        self._page, self._page_chunks = [], 0
        self._page_packs.poll()
        self._settle_pages()

    def _settle_pages(self) -> None:
        while self._pending_pages and are_durable(self._pending_pages[0].chunks):
            pending = self._pending_pages.popleft()
            self._pages.append(replace(pending.page, chunks=refs_of(pending.chunks)))


def modes_digest_of(executables: Iterable[str]) -> bytes:
    """Return the digest of these executable paths, which come in order."""
    modes = hashlib.sha256()
    for path in executables:
        modes.update(_mode_line(path))
    return modes.digest()


def _mode_line(path: str) -> bytes:
    return path.encode() + b"\n"


def _protocol(problem: str) -> InvalidArgumentError:
    return InvalidArgumentError(problem, reason=Reason.ARGUMENT_INVALID)
