# SPDX-License-Identifier: Apache-2.0
"""The version before, as a sidecar has it: opened by grants, file by file."""

from functools import partial

from strongroom.errors import (
    IntegrityError,
    NotFoundError,
    PermissionDeniedError,
    PreconditionError,
)
from strongroom.format.names import VersionName
from strongroom_server.core.chunk import ChunkRef
from strongroom_server.core.codecs import Buffer
from strongroom_server.core.filetable import FileEntry
from strongroom_server.core.scope import Scope
from strongroom_server.repository.chunks import ChunkReader
from strongroom_server.repository.grant_book import GrantBook
from strongroom_server.repository.guarded_cutter import MakeCutter
from strongroom_server.repository.parents import ParentFile, label_chunks

#: What says that the version before cannot be read: it costs only bytes.
_WITHOUT = (IntegrityError, NotFoundError, PermissionDeniedError, PreconditionError)


class GrantedParent:
    """A `ParentVersion`, whose chunks can be read from any thread.

    Args:
        book: Opens it.
        chunks: Reads its chunks.
        scope: Its key domain.
        name: The version, by number.
    """

    def __init__(
        self, book: GrantBook, chunks: ChunkReader, scope: Scope, name: VersionName
    ) -> None:
        self._book = book
        self._chunks = chunks
        self._scope = scope.at_epoch(0)
        self._name = name
        self._paths: dict[bytes, str] = {}
        #: Of files that are under way, by path: how often, and which chunks.
        self._held: dict[str, tuple[int, frozenset[bytes]]] = {}

    def find(self, path: str) -> FileEntry | None:
        """See `ParentVersion`."""
        try:
            entries = self._book.open(self._name, paths=[path]).entries
            return next(entries, None)
        except _WITHOUT:
            return None

    def chunks_of(self, entry: FileEntry, make_cutter: MakeCutter) -> ParentFile:
        """See `ParentVersion`."""
        chunk_ids = frozenset((ref.base or ref).chunk_id for ref in entry.chunks)
        count, _ = self._held.get(entry.path, (0, chunk_ids))
        self._held[entry.path] = count + 1, chunk_ids
        self._paths.update(dict.fromkeys(chunk_ids, entry.path))
        return label_chunks(entry, make_cutter, partial(self._chunks.read, self._scope))

    def forget(self, path: str) -> None:
        """Let go of what is known of a file: what was made of it is durable."""
        count, chunk_ids = self._held.pop(path, (0, frozenset()))
        if count > 1:
            self._held[path] = count - 1, chunk_ids
            return
        for chunk_id in chunk_ids:
            # A later file may have it, too.
            if self._paths.get(chunk_id) == path:
                del self._paths[chunk_id]

    def path_of(self, base: ChunkRef) -> str:
        """Return a file under way that has a chunk from here, or a delta to it."""
        return self._paths[base.chunk_id]

    def read(self, base: ChunkRef) -> Buffer | None:
        """Read what a delta may be made to; None if it cannot be read."""
        try:
            return self._chunks.read_pinned(self._scope, base)
        except _WITHOUT:
            return None
