# SPDX-License-Identifier: Apache-2.0
"""Writing a version's content: files to chunks to packs, and the file table.

Of content, memory holds one chunk of the open file and a few packs under way; of
the file table, the open page, and references to the chunks of the open file and to
the pages so far.
"""

import contextlib
import hashlib
from collections import deque
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final

from strongroom.errors import IntegrityError, Reason, StrongroomError
from strongroom.format.digest import VersionDigester
from strongroom_server.core import layout
from strongroom_server.core.chunk import ChunkRef
from strongroom_server.core.codec_choice import CodecChoice
from strongroom_server.core.derivation import DomainKeys
from strongroom_server.core.filetable import FileEntry
from strongroom_server.core.index_segment import MAX_CHUNKS
from strongroom_server.core.manifest import Manifest
from strongroom_server.core.modes import mode_line
from strongroom_server.core.policy import Cuts
from strongroom_server.repository.chunk_writer import ChunkWriter
from strongroom_server.repository.file_receiver import FileReceiver
from strongroom_server.repository.guarded_cutter import cutters
from strongroom_server.repository.open_file import OpenPosition, PendingFile
from strongroom_server.repository.packs import PackWriter
from strongroom_server.repository.parents import ParentFiles
from strongroom_server.repository.repository import Repository
from strongroom_server.repository.sharing import Sharing
from strongroom_server.repository.stored_packs import DomainPacks
from strongroom_server.repository.sweeps import SweepView
from strongroom_server.repository.table_writer import TableWriter

#: New chunks, and stored bytes, after which an index segment is written, however long
#: the upload goes on: so much at most is stored again if the server is killed.
INDEX_CHUNKS: Final = MAX_CHUNKS * 3 // 4
INDEX_BYTES: Final = 64 << 30
#: Files after which a pack that does not fill is sent off, at the second time; twice
#: that many may wait for their packs.
_PACK_FILES: Final = 10_000
_NOTHING_SWEPT: Final = SweepView()


@dataclass(frozen=True, slots=True)
class StoredContent:
    """A version's content, durable: its manifest and what it newly stored.

    `writers` are the tags of those whose word it takes for what files hold.
    """

    manifest: str
    manifest_version: str
    digest: str
    file_count: int
    size_bytes: int
    stored_bytes: int
    writers: frozenset[bytes] = frozenset()


class ContentWriter:
    """Stores the content of one version. Used by one thread."""

    def __init__(
        self,
        repository: Repository,
        keys: DomainKeys,
        artifact: bytes,
        *,
        view: SweepView = _NOTHING_SWEPT,
        choice: CodecChoice = CodecChoice.RAW,
        cuts: Cuts = Cuts.ALIGNED,
        parent: ParentFiles | None = None,
        remembers_entries: bool = False,
        is_part: bool = False,
        writer: bytes = b"",
    ) -> None:
        """Begin an empty version.

        Args:
            repository: Where it is stored.
            keys: Of its domain.
            artifact: Its artifact's id.
            view: What is condemned, and so must not be shared.
            choice: How chunks may be encoded.
            cuts: Where chunks end.
            parent: The version before, for deltas.
            remembers_entries: Whether `take_entries` will be called, often.
            is_part: Whether there is no file table; `finish_part` ends it.
            writer: The tag of who writes by grant.
        """
        self._repository = repository
        self._keys = keys
        self._artifact = artifact
        self.sharing = Sharing(
            *(repository.chunks, keys.scope),
            view=view,
            damaged=repository.repairs.damaged(keys),
            executor=repository.executor,
            writer=writer,
        )
        self._data_packs = self._pack_writer()
        self._page_packs = self._pack_writer()
        self._chunks = ChunkWriter(repository, keys, self.sharing, choice)
        self._table = TableWriter(self._chunks, self._page_packs, self.sharing)
        self._digester = VersionDigester()
        self._modes = hashlib.sha256()
        self._receiver = FileReceiver(
            *(repository, keys.scope),
            chunks=self._chunks,
            packs=self._data_packs,
            sharing=self.sharing,
            parent=parent,
            has_deltas=choice is CodecChoice.DELTA,
            make_cutter=cutters(repository.header_lock, keys.cut_key, cuts),
            send_off=self._send_off_all,
        )
        self._files: deque[PendingFile | FileEntry] = deque()
        remembers = remembers_entries or is_part
        self._entries: list[FileEntry] | None = [] if remembers else None
        self._is_part = is_part
        #: Of the files so far, the open one not counted; what came, and is indexed.
        self.file_count = self.size_bytes = self.received_bytes = self._indexed = 0

    @property
    def stored_bytes(self) -> int:
        """How many bytes of packs are durable so far."""
        return self._data_packs.stored_bytes + self._page_packs.stored_bytes

    @property
    def open_offset(self) -> int:
        """How many bytes of the open file are there; 0 if none is open."""
        return self._receiver.open_offset

    @property
    def digest(self) -> str:
        """The version digest of the files so far."""
        return self._digester.digest()

    @property
    def modes_digest(self) -> bytes:
        """A digest of which files are executable; see `modes_digest_of`."""
        return self._modes.digest()

    @property
    def packs_used(self) -> AbstractSet[str]:
        """Every pack that the version will point at, once `finish` has returned."""
        return self.sharing.packs_used

    def uses(self, view: SweepView) -> bool:
        """Return whether the finished version needs what a view shows condemned."""
        return self.sharing.uses(view)

    def uses_damaged(self) -> bool:
        """Return whether it needs a pack that was found damaged meanwhile."""
        return not self._repository.repairs.damaged(self._keys).isdisjoint(
            self.sharing.packs_used
        )

    def abort(self) -> None:
        """Stop; what is stored already is garbage, until a later upload finds it.

        After `finish` there is nothing left to stop.
        """
        self._receiver.abort()
        self.sharing.stop()
        self._data_packs.abort()
        self._page_packs.abort()
        # What stays unknown is stored once more; why it ended matters more.
        with contextlib.suppress(StrongroomError):
            self._index_durable()

    def start_file(
        self, path: str, *, size_bytes: int | None, executable: bool
    ) -> None:
        """Begin the next file; paths come in strictly increasing byte order.

        Without a size, it has as many bytes as come before it ends.

        Raises:
            InvalidArgumentError: The path is malformed, or a file is open.
        """
        self._receiver.start(path, size_bytes=size_bytes, executable=executable)

    def write(self, data: bytes | memoryview, *, offset_bytes: int) -> None:
        """Take in the next bytes of the open file.

        Raises:
            InvalidArgumentError: No file is open, the block is too large, not at
                the file's end so far, or goes beyond its size.
            UnavailableError: S3 failed, or other uploads hold all memory for long.
        """
        self._receiver.write(data, offset_bytes=offset_bytes)
        self.received_bytes += len(data)
        if (
            self._data_packs.durable_count >= INDEX_CHUNKS
            or self._data_packs.stored_bytes - self._indexed >= INDEX_BYTES
        ):
            self._index_durable()

    def end_file(self, digest: str | None) -> str:
        """End the open file and return its digest; `digest`: as the sender says.

        Raises:
            InvalidArgumentError: Bytes are missing.
            IntegrityError: The bytes received do not have this digest
                (DIGEST_MISMATCH).
        """
        file = self._receiver.end(digest)
        self._enter(file)
        return file.digest

    def may_adopt(self, entry: FileEntry) -> bool:
        """Return whether a file may be taken by its digest; see `may_share`."""
        shares = map(self.sharing.may_share, entry.chunks)
        return self.sharing.believes(entry.chunks) and all(shares)

    def take(self, entry: FileEntry, *, stored_bytes: int) -> None:
        """Take in the next file, for which its writer has stored so many bytes."""
        self._data_packs.stored_bytes += stored_bytes
        self.received_bytes += entry.size_bytes
        self._enter(entry)

    def adopt(self, entry: FileEntry) -> None:
        """Take in the next file by reference: its chunks are stored already.

        Raises:
            InvalidArgumentError: Its path is not greater, or a file is open.
            IntegrityError: Its chunks may not be shared (CHUNK_MISSING).
        """
        self._receiver.check_ended()
        if not all(map(self.sharing.may_share, entry.chunks)):
            raise IntegrityError(
                f"the chunks of file {entry.path!r} cannot be shared any more",
                reason=Reason.CHUNK_MISSING,
                hint="Send the file.",
                path=entry.path,
            )
        self._enter(entry)

    def resume_file(self, position: OpenPosition) -> Iterator[int]:
        """Go on with a file of which the first chunks are stored already.

        They are read back, for the file's digest and for where the next chunk ends.
        Chunks that cannot be read, or would be cut otherwise today, are left out,
        with all behind them: `open_offset` says where the next block must start.
        Nothing else may be called before the iterator has ended.

        Yields:
            How many bytes of the file have been read back.
        """
        yield from self._receiver.resume(position)

    def check_pace(self) -> None:
        """Check that a slow sender does not hold memory that others wait for.

        Raises:
            DeadlineExceededError: It has for too long (STALLED).
        """
        self._receiver.check_pace()

    def open_file_position(self) -> OpenPosition | None:
        """Return how far the open file has come, None if none is open."""
        self._data_packs.poll()
        return self._receiver.position()

    def send_off(self, *, is_old: bool = False) -> None:
        """Send off what waits for a full pack: all, or what did so last time, too."""
        flush = self._data_packs.flush_old if is_old else self._data_packs.flush
        flush()

    def take_entries(self) -> list[FileEntry]:
        """Return the files that became durable since the last time, in order.

        Adopted ones are among them.
        """
        self._data_packs.poll()
        self._drain()
        if self._entries is None:
            message = "a writer that does not remember entries has none to take"
            raise AssertionError(message)
        entries, self._entries = self._entries, []
        return entries

    def check_ended(self) -> None:
        """Check that no file is open.

        Raises:
            InvalidArgumentError: One is.
        """
        self._receiver.check_ended()

    def may_share(self, ref: ChunkRef) -> bool:
        """Return whether a version may point at a stored chunk; asked once a pack."""
        return self.sharing.may_share(ref)

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
        table = self._table.finish()
        self._index_durable()
        manifest = Manifest(
            self._artifact,
            self.digest,
            self.file_count,
            self.size_bytes,
            table.pages,
            table.lists,
        )
        stored = self._repository.manifests.store(self._keys.scope, manifest)
        self.sharing.use_manifest(layout.manifest_key(stored.manifest))
        return StoredContent(
            stored.manifest,
            stored.version_id,
            manifest.digest,
            manifest.file_count,
            manifest.size_bytes,
            self.stored_bytes + stored.size_bytes,
            self.sharing.writers,
        )

    def finish_part(self) -> list[FileEntry]:
        """Make all files durable, and return them; there is no manifest.

        Raises:
            InvalidArgumentError: A file is open.
            UnavailableError: S3 failed.
        """
        self.check_ended()
        self._data_packs.finish()
        entries = self.take_entries()
        self._index_durable()
        return entries

    def _pack_writer(self) -> PackWriter:
        repository = self._repository
        blobs, entropy = repository.blobs, repository.entropy
        return PackWriter(
            DomainPacks(self._keys, repository.suite, blobs=blobs, entropy=entropy),
            executor=repository.executor,
            budget=repository.write_budget,
            open_budget=repository.open_budget,
        )

    def _send_off_all(self) -> None:
        self._data_packs.flush()
        self._page_packs.flush()

    def _index_durable(self) -> None:
        """Let uploads find what is durable; before the commit does no harm."""
        self._indexed = self._data_packs.stored_bytes
        fresh = [*self._data_packs.take_durable(), *self._page_packs.take_durable()]
        if fresh:
            self._repository.chunk_index.add(self._keys, fresh)

    def _enter(self, file: PendingFile | FileEntry) -> None:
        """Take in a file that is whole, if not yet durable."""
        self._digester.add(file.path, file.size_bytes, file.digest)
        if file.executable:
            self._modes.update(mode_line(file.path))
        self._files.append(file)
        self.file_count += 1
        self.size_bytes += file.size_bytes
        self._data_packs.poll()
        if self.file_count % _PACK_FILES == 0:
            self._data_packs.flush_old()
        while len(self._files) > 2 * _PACK_FILES and self._data_packs.is_busy:
            self._data_packs.wait()
            self._drain()
        self._drain()

    def _drain(self) -> None:
        """Move files whose chunks are durable into the file table."""
        while self._files:
            file = self._files[0]
            entry = file if isinstance(file, FileEntry) else file.entry()
            if entry is None:
                return
            self._files.popleft()
            if self._is_part:
                self.sharing.use(entry.chunks)
            else:
                self._table.add(entry)
            if self._entries is not None:
                self._entries.append(entry)
