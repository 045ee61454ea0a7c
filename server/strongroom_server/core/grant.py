# SPDX-License-Identifier: Apache-2.0
"""Grants: what opens some files of a version, and nothing else.

A grant names chunks with the key of each and packs with a URL of each. It is told in
pages, each of which has a lifetime of its own.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from strongroom_server.core.chunk import ChunkRef
from strongroom_server.core.filetable import FileEntry
from strongroom_server.core.records import VersionRecord
from strongroom_server.core.scope import Scope
from strongroom_server.core.selection import MAX_PATHS

#: The messages of a page have about that size: below the limit of 4 MiB.
MAX_PAGE_BYTES: Final = 1024 * 1024
#: About what a message has of each.
_FILE_BYTES: Final = 120
_CHUNK_BYTES: Final = 100
_PACK_BYTES: Final = 800
#: How many versions one call may watch: the audit log names all of them.
MAX_WATCHED: Final = 16

#: A pack by its digest in hex, and its version id.
PackPlace = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Grant:
    """What was granted.

    Attributes:
        grant_id: Names it in the audit log; 32 hex digits.
        version: The version.
        scope: The key domain, at epoch 0.
    """

    grant_id: str
    version: VersionRecord
    scope: Scope


@dataclass(frozen=True, slots=True)
class FilePart:
    """A file, or so many of its chunks as fit the page.

    Attributes:
        entry: The file; its chunks are those of this part.
        unfinished: Whether more of its chunks come on the next page.
    """

    entry: FileEntry
    unfinished: bool = False


@dataclass(frozen=True, slots=True)
class GrantPage:
    """Some files, with what opens their chunks.

    Attributes:
        files: In byte order of path.
        keys: The key of each chunk, and of each base, by chunk id and epoch.
        urls: From where each pack can be fetched.
        lifetime_s: How long both may be used.
        expire_time: The same as a time, by the clock of who granted.
    """

    files: tuple[FilePart, ...]
    keys: Mapping[tuple[bytes, int], bytes] = field(repr=False)
    urls: Mapping[PackPlace, str] = field(repr=False)
    lifetime_s: float
    expire_time: datetime


@dataclass(frozen=True, slots=True)
class Revoked:
    """A version that must not be read any more by what was granted before.

    Attributes:
        name: The version's resource name.
        reason: The name of a `Reason`.
        message: The same for a person.
    """

    name: str
    reason: str
    message: str


def cut_pages(entries: Iterable[FileEntry]) -> Iterator[tuple[FilePart, ...]]:
    """Yield files in pages of bounded size; a long file goes on on the next page."""
    page: list[FilePart] = []
    packs = set[PackPlace]()
    size_bytes = 0
    for entry in entries:
        begin = 0
        size_bytes += _FILE_BYTES + len(entry.path.encode())
        for number, ref in enumerate(entry.chunks):
            places = set(_places(ref)) - packs
            weight = _CHUNK_BYTES * len(tuple(_with_base(ref)))
            weight += _PACK_BYTES * len(places)
            if size_bytes + weight > MAX_PAGE_BYTES and number > begin:
                part = _part(entry, begin, number)
                yield (*page, FilePart(part, unfinished=True))
                page, packs, begin = [], set[PackPlace](), number
                size_bytes = _FILE_BYTES + len(entry.path.encode())
                places = set(_places(ref))
            size_bytes += weight
            packs |= places
        page.append(FilePart(_part(entry, begin, len(entry.chunks))))
        if size_bytes > MAX_PAGE_BYTES or len(page) == MAX_PATHS:
            yield tuple(page)
            page, packs, size_bytes = [], set[PackPlace](), 0
    if page:
        yield tuple(page)


def chunks_of(files: Iterable[FilePart]) -> Iterator[ChunkRef]:
    """Yield the chunks of some files, and the bases of deltas."""
    for part in files:
        for ref in part.entry.chunks:
            yield from _with_base(ref)


def _with_base(ref: ChunkRef) -> Iterator[ChunkRef]:
    yield ref
    if ref.base is not None:
        yield ref.base


def _places(ref: ChunkRef) -> Iterator[PackPlace]:
    return ((item.pack, item.pack_version) for item in _with_base(ref))


def _part(entry: FileEntry, begin: int, end: int) -> FileEntry:
    if begin == 0 and end == len(entry.chunks):
        return entry
    return FileEntry(
        entry.path,
        entry.size_bytes,
        entry.digest,
        entry.executable,
        entry.chunks[begin:end],
    )
