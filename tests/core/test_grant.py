# SPDX-License-Identifier: Apache-2.0
"""Pages of grants: bounded, complete, in order; keys in no representation."""

from datetime import UTC, datetime

from strongroom_server.core import grant
from strongroom_server.core.chunk import ChunkRef
from strongroom_server.core.filetable import FileEntry
from strongroom_server.core.grant import FilePart, GrantPage, cut_pages
from strongroom_server.core.selection import MAX_PATHS

DIGEST = "sha256:" + "0" * 64


def chunk(number: int, *, base: ChunkRef | None = None) -> ChunkRef:
    pack = f"{number:064x}"
    return ChunkRef(bytes([7]) * 32, 4, 0, 0, pack, "v1", 64, 100, 44, base)


def file(path: str, count: int, *, first: int = 0) -> FileEntry:
    chunks = tuple(chunk(first + number) for number in range(count))
    return FileEntry(path, 44 * count, DIGEST, executable=False, chunks=chunks)


def weight(page: tuple[FilePart, ...]) -> int:
    packs = {ref.pack for ref in grant.chunks_of(page)}
    return len(packs) * 800


def test_no_page_is_larger_than_a_message_may_be() -> None:
    pages = list(cut_pages([file("a", 10_000), file("b", 3)]))

    assert len(pages) > 1
    assert max(map(weight, pages)) <= grant.MAX_PAGE_BYTES


def test_a_file_that_goes_on_is_whole_when_its_parts_are_joined() -> None:
    long = file("long", 5000)

    parts = [part for page in cut_pages([file("a", 1), long]) for part in page]

    joined = [ref for part in parts[1:] for ref in part.entry.chunks]
    assert tuple(joined) == long.chunks
    assert [part.unfinished for part in parts[1:]] == [True] * (len(parts) - 2) + [
        False
    ]


def test_many_empty_files_fill_pages_that_can_be_asked_for_again() -> None:
    entries = [file(f"{number:06d}", 0) for number in range(2 * MAX_PATHS + 1)]

    pages = list(cut_pages(entries))

    assert [len(page) for page in pages] == [MAX_PATHS, MAX_PATHS, 1]
    assert [part.entry for page in pages for part in page] == entries


def test_a_version_without_files_has_no_page() -> None:
    assert list(cut_pages([])) == []


def test_the_base_of_a_delta_is_one_of_the_chunks() -> None:
    ref = chunk(1, base=chunk(2))
    entry = FileEntry("a", 44, DIGEST, executable=False, chunks=(ref,))

    assert list(grant.chunks_of([FilePart(entry)])) == [ref, ref.base]


def test_a_page_shows_neither_keys_nor_urls() -> None:
    key, url = b"k" * 32, "https://s3/pack?X-Amz-Signature=secret"
    page = GrantPage((), {(b"i", 0): key}, {("p", "v"): url}, 1.0, datetime.now(tz=UTC))

    assert "kkk" not in repr(page)
    assert "secret" not in repr(page)
