# SPDX-License-Identifier: Apache-2.0
"""Writing content by grant: what `ContentWriter` is where there is no domain key.

Files are cut, digested, encrypted and stored here; what becomes of them, file table,
manifest and index, is central's, which is told of each file once it is durable.
"""

from collections import deque
from functools import partial
from typing import Final

from strongroom_server.core.chunk import ChunkRef
from strongroom_server.core.codecs import Buffer
from strongroom_server.core.write_grant import MAX_ITEMS, MAX_PACK_CHUNKS
from strongroom_server.core.write_steps import MAX_ITEMS_BYTES, WrittenFile, WrittenItem
from strongroom_server.ports import GrantedWrite, PackPutter
from strongroom_server.repository.buffers import BufferPool
from strongroom_server.repository.chunk_encoding import ChunkEncoder
from strongroom_server.repository.file_receiver import FileReceiver
from strongroom_server.repository.granted_names import GrantedNames
from strongroom_server.repository.granted_packs import GrantedPacks
from strongroom_server.repository.granted_parents import GrantedParent
from strongroom_server.repository.guarded_cutter import cutters
from strongroom_server.repository.open_file import PendingFile
from strongroom_server.repository.packs import MAX_UNDER_WAY, PackWriter, are_durable
from strongroom_server.repository.write_engine import WriteEngine

#: Files after which a pack that does not fill is sent off, at the second time; twice
#: that many may wait for their packs.
_PACK_FILES: Final = 10_000
#: About what an item takes beside its path, and each of its chunks.
_ITEM_BYTES: Final = 100
_CHUNK_BYTES: Final = 40


class GrantedContent:
    """Stores the content of one version, or part of a draft. Used by one thread."""

    def __init__(
        self,
        engine: WriteEngine,
        write: GrantedWrite,
        *,
        putter: PackPutter,
        buffers: BufferPool,
        parent: GrantedParent | None,
    ) -> None:
        """Begin without a file.

        Args:
            engine: What files are taken in with.
            write: Central's side.
            putter: Puts packs.
            buffers: Lends room for ciphertext.
            parent: The version before, for deltas.
        """
        grant = write.grant
        self._write = write
        self._parent = parent
        packs = GrantedPacks(
            write,
            putter=putter,
            entropy=engine.entropy,
            buffers=buffers,
            path_of=self._path_of,
        )
        under_way = min(MAX_UNDER_WAY, write.limits.max_packs)
        self._packs = PackWriter(
            packs,
            executor=engine.executor,
            budget=engine.write_budget,
            open_budget=engine.open_budget,
            max_under_way=under_way,
            max_entries=min(MAX_PACK_CHUNKS, write.limits.max_chunks // under_way),
        )
        self._chunks = GrantedNames(
            write,
            ChunkEncoder(grant.codec, self._read_base),
            engine.open_budget,
        )
        self._receiver = FileReceiver(
            engine,
            grant.scope,
            chunks=self._chunks,
            packs=self._packs,
            sharing=None,
            parent=parent,
            has_deltas=parent is not None,
            make_cutter=cutters(
                engine.header_lock, partial(_given, grant.cut_key), grant.cuts
            ),
            send_off=self._send_off,
        )
        self._files: deque[PendingFile | WrittenItem] = deque()
        self._items: list[WrittenItem] = []
        self._items_bytes = 0
        self._count = 0
        self.received_bytes = 0

    @property
    def stored_bytes(self) -> int:
        """How many bytes of packs are durable so far."""
        return self._packs.stored_bytes

    def start_file(
        self, path: str, *, size_bytes: int | None, executable: bool
    ) -> None:
        """Begin the next file; see `ContentWriter.start_file`."""
        self._receiver.start(path, size_bytes=size_bytes, executable=executable)

    def write(self, data: bytes | memoryview, *, offset_bytes: int) -> None:
        """Take in the next bytes of the open file; see `ContentWriter.write`."""
        self._receiver.write(data, offset_bytes=offset_bytes)
        self.received_bytes += len(data)
        self._chunks.take_named(self._packs)
        self._packs.take_durable()

    def end_file(self, digest: str | None) -> str:
        """End the open file and return its digest; see `ContentWriter.end_file`."""
        file = self._receiver.end(digest)
        self._enter(file)
        return file.digest

    def add(self, item: WrittenItem) -> None:
        """Take in what is no file of bytes; central checks it.

        Raises:
            InvalidArgumentError: A file is open.
        """
        self._receiver.check_ended()
        self._enter(item)

    def check_pace(self) -> None:
        """See `ContentWriter.check_pace`.

        Raises:
            StrongroomError: What ended the write at central.
        """
        self._write.check()
        self._receiver.check_pace()

    def finish(self) -> None:
        """Make everything durable, and tell central of all files.

        Raises:
            InvalidArgumentError: A file is open.
            StrongroomError: The store failed, or central.
        """
        self._receiver.check_ended()
        self._chunks.finish(self._packs)
        self._packs.finish()
        self._drain()
        self._tell()

    def abort(self) -> None:
        """Stop; what is stored already is found again by the next write."""
        self._write.end()
        self._receiver.abort()
        self._chunks.abort()
        self._packs.abort()

    def _enter(self, file: PendingFile | WrittenItem) -> None:
        self._files.append(file)
        self._count += 1
        self._chunks.take_named(self._packs)
        self._packs.poll()
        self._packs.take_durable()
        if self._count % _PACK_FILES == 0:
            self._chunks.finish(self._packs)
            self._packs.flush_old()
        while len(self._files) > 2 * _PACK_FILES and self._packs.is_busy:
            self._packs.wait()
            self._drain()
        self._drain()

    def _drain(self) -> None:
        """Tell central of files whose chunks are durable."""
        while self._files:
            file = self._files[0]
            if isinstance(file, PendingFile):
                if not are_durable(file.chunks):
                    return
                if self._parent is not None:
                    self._parent.forget(file.path)
                file = _written(file)
            self._files.popleft()
            self._items.append(file)
            self._items_bytes += _weight(file)
            if len(self._items) == MAX_ITEMS or self._items_bytes > MAX_ITEMS_BYTES:
                self._tell()

    def _tell(self) -> None:
        if self._items:
            self._write.tell(self._items)
            self._items, self._items_bytes = [], 0

    def _send_off(self) -> None:
        self._chunks.finish(self._packs)
        self._packs.flush()

    def _read_base(self, base: ChunkRef) -> Buffer | None:
        return None if self._parent is None else self._parent.read(base)

    def _path_of(self, base: ChunkRef) -> str:
        return "" if self._parent is None else self._parent.path_of(base)


def _written(file: PendingFile) -> WrittenFile:
    names = [(chunk.digest, chunk.plain_bytes) for chunk in file.chunks]
    return WrittenFile(file.path, file.size_bytes, file.digest, file.executable, names)


def _weight(item: WrittenItem) -> int:
    chunks = item.chunks if isinstance(item, WrittenFile) else ()
    return _ITEM_BYTES + len(item.path) + _CHUNK_BYTES * len(chunks)


def _given(key: bytes) -> bytes:
    return key
