# SPDX-License-Identifier: Apache-2.0
"""Writing the file table: files to pages, pages to lists, all of them chunks."""

from collections import deque
from dataclasses import dataclass, replace

from strongroom_server.core import filetable, page_list
from strongroom_server.core.chunk import MAX_CHUNK_BYTES
from strongroom_server.core.filetable import FileEntry, PageRef
from strongroom_server.repository.chunk_writer import ChunkWriter
from strongroom_server.repository.packs import (
    PackWriter,
    PendingChunk,
    are_durable,
    refs_of,
)
from strongroom_server.repository.sharing import Sharing


@dataclass(frozen=True, slots=True)
class _PendingPage:
    page: PageRef
    chunks: tuple[PendingChunk, ...]


@dataclass(frozen=True, slots=True)
class FileTable:
    """The roots of a durable file table: its pages, or lists of them."""

    pages: tuple[PageRef, ...]
    lists: tuple[PageRef, ...]


class TableWriter:
    """Groups files into pages and stores them. Used by one thread."""

    def __init__(
        self, chunks: ChunkWriter, packs: PackWriter, sharing: Sharing
    ) -> None:
        self._chunks = chunks
        self._packs = packs
        self._sharing = sharing
        self._page: list[FileEntry] = []
        self._page_chunks = 0
        self._pending: deque[_PendingPage] = deque()
        self._pages: list[PageRef] = []

    def add(self, entry: FileEntry) -> None:
        """Take in the next file, whose chunks are durable."""
        if self._page_chunks + len(entry.chunks) > filetable.MAX_PAGE_CHUNKS:
            self._end_page()
        self._sharing.use(entry.chunks)
        self._page_chunks += len(entry.chunks)
        self._page.append(entry)
        full = len(self._page) == filetable.MAX_PAGE_FILES
        if full or filetable.ends_page(entry.path):
            self._end_page()

    def finish(self) -> FileTable:
        """Make the table durable.

        Raises:
            ExhaustedError: A page is too large to be read back (TOO_LARGE).
            UnavailableError: S3 failed.
        """
        self._end_page()
        pages = self._settled()
        if len(pages) <= page_list.MAX_FLAT_PAGES:
            return FileTable(pages, ())
        # A list says where its pages lie, so they had to be durable first.
        for part in page_list.split_pages(pages):
            root = page_list.list_of(part, ())
            self._store(root, page_list.format_list(part))
        return FileTable((), self._settled())

    def _end_page(self) -> None:
        if not self._page:
            return
        page = filetable.page_of(self._page, ())
        self._store(page, filetable.format_page(self._page))
        self._page, self._page_chunks = [], 0
        self._packs.poll()
        self._settle()

    def _store(self, page: PageRef, data: bytes) -> None:
        chunks = tuple(
            self._chunks.add_page(self._packs, data[start : start + MAX_CHUNK_BYTES])
            for start in range(0, len(data), MAX_CHUNK_BYTES)
        )
        self._pending.append(_PendingPage(page, chunks))

    def _settle(self) -> None:
        while self._pending and are_durable(self._pending[0].chunks):
            pending = self._pending.popleft()
            refs = refs_of(pending.chunks)
            self._sharing.use(refs)
            self._pages.append(replace(pending.page, chunks=refs))

    def _settled(self) -> tuple[PageRef, ...]:
        self._packs.finish()
        self._settle()
        pages, self._pages = tuple(self._pages), []
        return pages
