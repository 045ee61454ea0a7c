# SPDX-License-Identifier: Apache-2.0
"""Lists of pages: the level between a large version's manifest and its file table.

Lists end where the last path of a page says so, and are stored as chunks like the
pages; so a version of a million files that changes one of them writes one page,
one list and a manifest of some hundred lists.
"""

import hashlib
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from strongroom.errors import InvalidArgumentError
from strongroom.format.digest import path_order
from strongroom_server.core import canonical
from strongroom_server.core.chunk import ChunkRef
from strongroom_server.core.filetable import PageRef, table_error
from strongroom_server.core.index_segment import (
    FORMAT_WITH_DELTAS,
    check_format,
    format_refs,
    parse_refs,
)

#: About one page in this many ends a list.
LIST_PAGES: Final = 32
MAX_LIST_PAGES: Final = 1024
#: A manifest with so many pages names them itself.
MAX_FLAT_PAGES: Final = 32
MAX_LIST_BYTES: Final = 16 * 1024 * 1024
_FIELDS: Final = frozenset({"chunks", "format", "packs", "pages"})


def split_pages(pages: Iterable[PageRef]) -> Iterator[tuple[PageRef, ...]]:
    """Yield the pages of each list: the same pages give the same lists."""
    part: list[PageRef] = []
    for page in pages:
        part.append(page)
        if ends_list(page.last_path) or len(part) == MAX_LIST_PAGES:
            yield tuple(part)
            part = []
    if part:
        yield tuple(part)


def ends_list(path: str) -> bool:
    """Return whether a list ends behind a page that ends with this path."""
    digest = hashlib.sha256(b"strongroom.v1/list\0" + path.encode()).digest()
    return int.from_bytes(digest[:4], "big") % LIST_PAGES == 0


def format_list(pages: Sequence[PageRef]) -> bytes:
    """Return the bytes of a list."""
    return canonical.encode(format_pages(pages) | {"format": FORMAT_WITH_DELTAS})


def parse_list(data: bytes) -> tuple[PageRef, ...]:
    """Return the pages of a list.

    Raises:
        IntegrityError: It is malformed (MANIFEST_CORRUPT).
        PreconditionError: Its format is newer than this release
            (FORMAT_UNSUPPORTED).
    """
    try:
        body = canonical.decode_object(data, MAX_LIST_BYTES)
        check_format(body.get("format"), "a list of pages", newest=FORMAT_WITH_DELTAS)
        if set(body) != _FIELDS or body["format"] != FORMAT_WITH_DELTAS:
            raise table_error()
        return parse_pages(body["pages"], iter(parse_refs(body)))
    except (ValueError, TypeError, InvalidArgumentError) as error:
        raise table_error() from error


def list_of(pages: Sequence[PageRef], chunks: tuple[ChunkRef, ...]) -> PageRef:
    """Return the reference to a list of these pages; it looks like a page's."""
    return PageRef(
        pages[0].first_path,
        pages[-1].last_path,
        sum(page.file_count for page in pages),
        sum(page.size_bytes for page in pages),
        chunks,
    )


def format_pages(pages: Sequence[PageRef]) -> dict[str, Any]:
    """Return pages, or lists, ready for JSON: with chunks, packs and format."""
    refs = format_refs(ref for page in pages for ref in page.chunks)
    shown = [
        [page.first_path, page.last_path, page.file_count, page.size_bytes,
         len(page.chunks)]
        for page in pages
    ]  # fmt: skip
    return {"pages": shown, **refs}


def parse_pages(items: list[Any], refs: Iterator[ChunkRef]) -> tuple[PageRef, ...]:
    """Return the pages, or lists, that `format_pages` wrote.

    Raises:
        ValueError: They are malformed, out of order, or leave chunks over.
    """
    pages = tuple(_parse_page_ref(item, refs) for item in items)
    paths = [path_order(path) for page in pages for path in _ends(page)]
    in_order = all(left < right for left, right in itertools.pairwise(paths))
    if not in_order or next(refs, None) is not None:
        raise ValueError(items)
    return pages


def _ends(page: PageRef) -> tuple[str, ...]:
    one = page.first_path == page.last_path
    return (page.first_path,) if one else (page.first_path, page.last_path)


def _parse_page_ref(item: list[Any], refs: Iterator[ChunkRef]) -> PageRef:
    first, last, count, size, chunk_count = item
    numbers = (count, size, chunk_count)
    if not all(type(number) is int and number >= 0 for number in numbers):
        raise ValueError(item)
    if not isinstance(first, str) or not isinstance(last, str):
        raise ValueError(item)  # noqa: TRY004 -- stored bytes, not a caller's bug
    chunks = tuple(itertools.islice(refs, chunk_count))
    if len(chunks) != chunk_count:
        raise ValueError(item)
    return PageRef(first, last, count, size, chunks)
