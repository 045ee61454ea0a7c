# SPDX-License-Identifier: Apache-2.0
"""Index segments, file tables and manifests: they read back, or are refused."""

import contextlib
import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.errors import (
    ExhaustedError,
    IntegrityError,
    Reason,
)
from strongroom.format.digest import path_order
from strongroom_server.core import canonical, filetable
from strongroom_server.core.chunk import ChunkRef
from strongroom_server.core.filetable import (
    FileEntry,
    PageRef,
    check_found,
    ends_page,
    format_page,
    group_pages,
    page_of,
    parse_page,
)
from strongroom_server.core.index_segment import (
    format_segment,
    parse_segment,
)
from strongroom_server.core.manifest import Manifest, format_manifest, parse_manifest
from tests.support.properties import COSTLY, QUICK
from tests.support.samples import ARTIFACT_ID, file_entry, filled, raw_ref
from tests.support.tables import JSON, chunk_refs, page_chunks


@st.composite
def file_lists(draw: st.DrawFn) -> list[FileEntry]:
    texts = st.text("ab-/ü日", min_size=1, max_size=6).filter(
        lambda path: all(path.split("/"))
    )
    paths = draw(st.lists(texts, min_size=1, max_size=6, unique=True))
    return [
        file_entry(
            path,
            *draw(st.lists(chunk_refs(), max_size=3)),
            executable=draw(st.booleans()),
        )
        for path in sorted(paths, key=path_order)
    ]


@COSTLY
@given(st.lists(chunk_refs(), max_size=6))
def test_an_index_segment_reads_back(refs: list[ChunkRef]) -> None:
    assert parse_segment(format_segment(refs)) == tuple(refs)


@COSTLY
@given(file_lists())
def test_a_page_reads_back(entries: list[FileEntry]) -> None:
    assert parse_page(format_page(entries)) == tuple(entries)


@COSTLY
@given(file_lists(), st.lists(page_chunks(), max_size=3))
def test_a_manifest_reads_back(entries: list[FileEntry], refs: list[ChunkRef]) -> None:
    pages = tuple(page_of([entry], tuple(refs)) for entry in entries)
    size = sum(entry.size_bytes for entry in entries)
    manifest = Manifest(ARTIFACT_ID, entries[0].digest, len(pages), size, pages)

    assert parse_manifest(format_manifest(manifest), ARTIFACT_ID) == manifest


@QUICK
@given(JSON, JSON, JSON)
def test_any_table_parses_or_is_refused(
    first: object, second: object, third: object
) -> None:
    segment = {"format": 1, "packs": first, "chunks": second}
    page = {"format": 1, "packs": first, "files": second}
    manifest: dict[str, Any] = format_manifest(GOOD_MANIFEST)
    manifest |= {"packs": first, "pages": second, "digest": third}
    attempts: list[Callable[[], object]] = [
        lambda: parse_segment(segment),
        lambda: parse_page(canonical.encode(page)),
        lambda: parse_manifest(manifest, ARTIFACT_ID),
    ]
    for attempt in attempts:
        with contextlib.suppress(IntegrityError):
            attempt()


@QUICK
@given(st.binary(max_size=100))
def test_arbitrary_bytes_are_no_page(data: bytes) -> None:
    with pytest.raises(IntegrityError) as caught:
        parse_page(data)

    assert caught.value.reason is Reason.MANIFEST_CORRUPT


#: What makes a reference to a chunk impossible: field number and value.
BAD_REFS = [
    (0, "00"),
    (0, "A" * 64),
    (0, " " + "a" * 63),
    (0, 5),
    (1, 1),
    (1, -1),
    (2, 2**25),
    (3, 2**25),
    (3, 71),
    (3, True),
    (4, 2**24 + 1),
    (4, 999),
    (5, 2),
    (5, 3),
    (6, 2**24),
    (7, 0),
    (7, 5),
    (7, "1"),
]


@pytest.mark.parametrize(("field", "value"), BAD_REFS)
def test_an_impossible_chunk_is_refused_everywhere(field: int, value: object) -> None:
    ref = raw_ref()
    segment = format_segment([ref])
    segment["chunks"][0][field] = value
    page = canonical.decode_object(format_page([file_entry("a", ref)]), 10_000)
    page["files"][0][4][0][field] = value
    manifest = format_manifest(GOOD_MANIFEST)
    manifest["chunks"][0][field] = value

    with pytest.raises(IntegrityError) as caught:
        parse_segment(segment)
    assert caught.value.reason is Reason.RECORD_CORRUPT
    with pytest.raises(IntegrityError) as caught:
        parse_page(canonical.encode(page))
    assert caught.value.reason is Reason.MANIFEST_CORRUPT
    with pytest.raises(IntegrityError) as caught:
        parse_manifest(manifest, ARTIFACT_ID)
    assert caught.value.reason is Reason.MANIFEST_CORRUPT


@pytest.mark.parametrize("pack", [["aa", "v"], ["A" * 64, "v"], ["a" * 64], "a", 5])
def test_an_impossible_pack_is_refused(pack: object) -> None:
    with pytest.raises(IntegrityError):
        parse_segment({"format": 1, "packs": [pack], "chunks": []})


def test_a_pack_that_is_named_twice_is_refused_everywhere() -> None:
    ref = raw_ref()
    segment = format_segment([ref])
    page = canonical.decode_object(format_page([file_entry("a", ref)]), 10_000)
    manifest = format_manifest(GOOD_MANIFEST)
    for body in (segment, page, manifest):
        body["packs"] = [*body["packs"], body["packs"][0]]

    with pytest.raises(IntegrityError):
        parse_segment(segment)
    with pytest.raises(IntegrityError):
        parse_page(canonical.encode(page))
    with pytest.raises(IntegrityError):
        parse_manifest(manifest, ARTIFACT_ID)
    # The same name under another version id is another pack.
    other = [segment["packs"][0], [segment["packs"][0][0], "another"]]
    assert parse_segment({**segment, "packs": other}) == (ref,)


def changed_file(field: int, value: object) -> bytes:
    body = canonical.decode_object(format_page([file_entry("a", raw_ref())]), 10_000)
    body["files"][0][field] = value
    return canonical.encode(body)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (0, ""),
        (0, "../a"),
        (0, 5),
        (1, 999),
        (1, -1),
        (1, "1000"),
        (2, "00"),
        (2, "A" * 64),
        (2, None),
        (3, 2),
        (3, True),
        (3, []),
        (4, []),
        (4, None),
        (4, {}),
    ],
)
def test_an_impossible_file_is_refused(field: int, value: object) -> None:
    with pytest.raises(IntegrityError) as caught:
        parse_page(changed_file(field, value))

    assert caught.value.reason is Reason.MANIFEST_CORRUPT


@pytest.mark.parametrize("paths", [["b", "a"], ["a", "a"], ["\U00010000", "\uffff"]])
def test_files_out_of_order_are_refused(paths: list[str]) -> None:
    page = format_page([file_entry(path) for path in paths])

    with pytest.raises(IntegrityError):
        parse_page(page)


def page_ref(first: str, last: str) -> PageRef:
    return PageRef(first, last, 2, 1000, (raw_ref(),))


GOOD_MANIFEST = Manifest(
    ARTIFACT_ID,
    "sha256:" + "0" * 64,
    4,
    2000,
    (page_ref("a", "b"), page_ref("c", "d")),
)


def test_the_good_manifest_is_good() -> None:
    assert parse_manifest(format_manifest(GOOD_MANIFEST), ARTIFACT_ID) == GOOD_MANIFEST


@pytest.mark.parametrize(
    "bad",
    [
        replace(GOOD_MANIFEST, file_count=5),
        replace(GOOD_MANIFEST, size_bytes=1999),
        replace(GOOD_MANIFEST, digest="sha256:0"),
        replace(GOOD_MANIFEST, artifact=filled("other", 18)),
        replace(GOOD_MANIFEST, pages=(page_ref("c", "d"), page_ref("a", "b"))),
        replace(GOOD_MANIFEST, pages=(page_ref("a", "c"), page_ref("c", "d"))),
        replace(GOOD_MANIFEST, pages=(page_ref("b", "a"), page_ref("c", "d"))),
    ],
)
def test_a_manifest_that_does_not_add_up_is_refused(bad: Manifest) -> None:
    with pytest.raises(IntegrityError) as caught:
        parse_manifest(format_manifest(bad), ARTIFACT_ID)

    assert caught.value.reason is Reason.MANIFEST_CORRUPT


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("format", 2),
        ("level", 0),
        ("type", "index"),
        ("more", 1),
        ("pages", [["a", "b", 2, 1000, 3]]),
        ("pages", [["a", "b", 2, 1000, 1]]),
        ("pages", ["abcde"]),
        ("pages", [["a", "b", 2, 1000]]),
        ("pages", [[1, "b", 2, 1000, 1]]),
        ("pages", None),
        ("chunks", []),
        ("file_count", "4"),
    ],
)
def test_a_manifest_with_another_field_is_refused(field: str, value: object) -> None:
    body = format_manifest(GOOD_MANIFEST) | {field: value}

    with pytest.raises(IntegrityError):
        parse_manifest(body, ARTIFACT_ID)


def test_a_file_gives_the_ranges_of_its_chunks() -> None:
    refs = [raw_ref(number, 100 + number) for number in range(3)]
    entry = file_entry("a", *refs)

    assert list(entry.ranges(0, 303)) == [(ref, 0, ref.plain_bytes) for ref in refs]
    assert list(entry.ranges(99, 2)) == [(refs[0], 99, 1), (refs[1], 0, 1)]
    assert list(entry.ranges(100, 101)) == [(refs[1], 0, 101)]
    assert list(entry.ranges(303, 0)) == []


def test_pages_end_at_the_same_paths_always() -> None:
    ends = [number for number in range(5000) if ends_page(f"data/{number:05d}.bin")]

    assert 5000 // 256 // 2 < len(ends) < 5000 // 256 * 2
    text = " ".join(map(str, ends)).encode()
    assert hashlib.sha256(text).hexdigest()[:12] == ("1027ad5bc330")


def test_a_page_that_could_not_be_read_back_is_not_written() -> None:
    many = replace(raw_ref(), pack_version="v" * 1000)
    count = filetable.MAX_PAGE_BYTES // 1000
    refs = (
        replace(many, pack=number.to_bytes(32, "big").hex()) for number in range(count)
    )

    with pytest.raises(ExhaustedError) as caught:
        format_page([file_entry("a", *refs)])

    assert caught.value.reason is Reason.TOO_LARGE


def test_pages_that_are_parsed_together_are_bounded() -> None:
    sizes = [100] * 40 + [9 * 2**20, 8 * 2**20, 60 * 2**20, 100]
    pages = [
        PageRef(str(number), str(number), 1, 1, (raw_ref(plain_bytes=size),))
        for number, size in enumerate(sizes)
    ]

    groups = list(group_pages(pages))

    assert [page for group in groups for page in group] == pages
    assert [len(group) for group in groups] == [16, 16, 9, 1, 1, 1]
    assert not list(group_pages([]))


def test_files_that_are_found_together_are_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(filetable, "MAX_FOUND_CHUNKS", 3)
    large, small = file_entry("l", *[raw_ref()] * 9), file_entry("s", raw_ref())

    check_found([large])
    check_found([small] * 3)
    with pytest.raises(ExhaustedError) as caught:
        check_found([large, small])
    assert caught.value.reason is Reason.TOO_LARGE
