# SPDX-License-Identifier: Apache-2.0
"""File tables: a version's files with their chunks, cut into pages.

Pages end where a path's digest says so, so the same files give the same pages,
and a new version that changes one file shares all pages but one with its parent.
"""

import hashlib
import itertools
from collections.abc import Collection, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final

from strongroom.errors import (
    ExhaustedError,
    IntegrityError,
    InvalidArgumentError,
    Reason,
)
from strongroom.format.digest import PREFIX, parse_digest
from strongroom.format.names import check_path
from strongroom_server.core import canonical
from strongroom_server.core.chunk import ChunkRef
from strongroom_server.core.index_segment import (
    check_format,
    codecs_of,
    format_of,
    format_refs,
    parse_packs,
    parse_ref,
)

#: About one path in this many ends a page.
PAGE_FILES: Final = 256
MAX_PAGE_FILES: Final = 4096
#: A page ends before its files have more chunks than this together.
MAX_PAGE_CHUNKS: Final = 65_536
#: A page with the table of one file of MAX_FILE_BYTES, and room to spare.
MAX_PAGE_BYTES: Final = 64 * 1024 * 1024
MAX_FILE_BYTES: Final = 4 * 1024**4
#: Pages that are read at the same time: so many, with so many bytes together, or one.
_GROUP_PAGES: Final = 16
_GROUP_BYTES: Final = 16 * 1024 * 1024
#: Chunks of all files that are found at once; each has about half a KiB.
MAX_FOUND_CHUNKS: Final = 1_000_000
_FILE_FIELDS: Final = 5


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One file of a version: path, size, digest (`sha256:…`), mode and chunks."""

    path: str
    size_bytes: int
    digest: str
    executable: bool
    chunks: tuple[ChunkRef, ...]

    def ranges(self, start: int, length: int) -> Iterator[tuple[ChunkRef, int, int]]:
        """Yield which part of which chunk holds a range of the file.

        Each as chunk, offset in the chunk's plaintext, and length; in order.
        """
        position, end = 0, start + length
        for ref in self.chunks:
            if position >= end:
                return
            first, last = max(start, position), min(end, position + ref.plain_bytes)
            if first < last:
                yield ref, first - position, last - first
            position += ref.plain_bytes


@dataclass(frozen=True, slots=True)
class PageRef:
    """A page of a file table: which paths it covers and the chunks that hold it."""

    first_path: str
    last_path: str
    file_count: int
    size_bytes: int
    chunks: tuple[ChunkRef, ...]


def ends_page(path: str) -> bool:
    """Return whether a page ends behind this path."""
    digest = hashlib.sha256(b"strongroom.v1/page\0" + path.encode()).digest()
    return int.from_bytes(digest[:4], "big") % PAGE_FILES == 0


def format_page(entries: Sequence[FileEntry]) -> bytes:
    """Return the bytes of a page.

    Raises:
        ExhaustedError: It would be longer than `parse_page` reads (TOO_LARGE).
    """
    body = format_refs(ref for entry in entries for ref in entry.chunks)
    chunks = iter(body["chunks"])
    files = [
        [
            entry.path,
            entry.size_bytes,
            parse_digest(entry.digest),
            1 if entry.executable else 0,
            [next(chunks) for _ in entry.chunks],
        ]
        for entry in entries
    ]
    data = canonical.encode(
        {"format": body["format"], "packs": body["packs"], "files": files}
    )
    if len(data) > MAX_PAGE_BYTES:
        raise ExhaustedError(
            f"a page of the file table would have {len(data)} bytes; "
            f"at most {MAX_PAGE_BYTES} can be read back",
            reason=Reason.TOO_LARGE,
            hint="Split the largest files.",
        )
    return data


def parse_page(data: bytes) -> tuple[FileEntry, ...]:
    """Return the files of a page.

    Raises:
        IntegrityError: It is malformed (MANIFEST_CORRUPT).
        PreconditionError: Its format is newer than this release
            (FORMAT_UNSUPPORTED).
    """
    try:
        body = canonical.decode_object(data, MAX_PAGE_BYTES)
        check_format(body.get("format"), "a page of a file table")
        if set(body) != {"format", "packs", "files"}:
            raise table_error()
        packs, codecs = parse_packs(body["packs"]), codecs_of(body["format"])
        entries = tuple(_parse_file(item, packs, codecs) for item in body["files"])
        if format_of(ref for item in entries for ref in item.chunks) != body["format"]:
            raise table_error()
    except (ValueError, TypeError, InvalidArgumentError) as error:
        raise table_error() from error
    paths = [entry.path.encode() for entry in entries]
    if any(left >= right for left, right in itertools.pairwise(paths)):
        raise table_error()
    return entries


def page_of(entries: Sequence[FileEntry], chunks: tuple[ChunkRef, ...]) -> PageRef:
    """Return the reference to a page of these files."""
    return PageRef(
        entries[0].path,
        entries[-1].path,
        len(entries),
        sum(entry.size_bytes for entry in entries),
        chunks,
    )


def group_pages(pages: Iterable[PageRef]) -> Iterator[list[PageRef]]:
    """Yield pages that may be read at the same time.

    Parsed, they take several times their size, so this bounds what a call
    that asks for many files takes, whatever their tables are like.
    """
    group: list[PageRef] = []
    group_bytes = 0
    for page in pages:
        size_bytes = sum(ref.plain_bytes for ref in page.chunks)
        group_bytes += size_bytes
        if group and (len(group) == _GROUP_PAGES or group_bytes > _GROUP_BYTES):
            yield group
            group, group_bytes = [], size_bytes
        group.append(page)
    if group:
        yield group


def check_found(entries: Collection[FileEntry]) -> None:
    """Check that files that are asked for together have not too many chunks.

    Raises:
        ExhaustedError: Several have more than MAX_FOUND_CHUNKS (TOO_LARGE).
    """
    count = sum(len(entry.chunks) for entry in entries)
    if len(entries) > 1 and count > MAX_FOUND_CHUNKS:
        raise ExhaustedError(
            f"the files have more than {MAX_FOUND_CHUNKS} chunks together",
            reason=Reason.TOO_LARGE,
            hint="Ask for fewer of them at once.",
        )


def table_error() -> IntegrityError:
    """Return the error for a file table that is damaged."""
    return IntegrityError(
        "a version's file table is damaged",
        reason=Reason.MANIFEST_CORRUPT,
        hint="Run `strongroom verify --store --repair` with a copy of the store.",
    )


def _parse_file(
    item: object, packs: Sequence[tuple[str, str]], codecs: AbstractSet[int]
) -> FileEntry:
    if not isinstance(item, list) or len(item) != _FILE_FIELDS:
        raise ValueError(item)
    path, size, digest, executable, chunks = item
    if not isinstance(path, str) or type(size) is not int or executable not in {0, 1}:
        raise ValueError(item)
    check_path(path)
    refs = tuple(parse_ref(chunk, packs, codecs=codecs) for chunk in chunks)
    if size < 0 or sum(ref.plain_bytes for ref in refs) != size:
        raise ValueError(item)
    if type(executable) is not int or not isinstance(digest, str):
        raise ValueError(item)
    return FileEntry(
        path, size, PREFIX + parse_digest(PREFIX + digest), executable == 1, refs
    )
