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
    PreconditionError,
    Reason,
)
from strongroom.format.digest import path_order
from strongroom_server.core import canonical, filetable
from strongroom_server.core.chunk import ChunkRef
from strongroom_server.core.cobblestone import encrypted_size
from strongroom_server.core.codecs import Codec
from strongroom_server.core.filetable import (
    FileEntry,
    PageRef,
    ends_page,
    format_page,
    page_of,
    parse_page,
)
from strongroom_server.core.index_segment import (
    format_segment,
    parse_refs,
    parse_segment,
)
from strongroom_server.core.manifest import Manifest, format_manifest, parse_manifest
from strongroom_server.core.page_list import (
    MAX_LIST_PAGES,
    format_list,
    parse_list,
    split_pages,
)
from strongroom_server.core.suites import SUITES
from tests.support.properties import COSTLY, QUICK
from tests.support.samples import ARTIFACT_ID, file_entry, filled, raw_ref


@st.composite
def chunk_refs(draw: st.DrawFn) -> ChunkRef:
    suite, codec = draw(st.sampled_from(sorted(SUITES))), draw(st.integers(0, 3))
    plain = draw(st.integers(1, 16 * 1024 * 1024))
    encoded = plain if codec == 0 else draw(st.integers(0, plain))
    number = draw(st.integers(0, 20))
    base = raw_ref(number + 30, plain, suite) if codec == Codec.DELTA else None
    return ChunkRef(
        filled(f"chunk {number}", 32),
        suite,
        codec,
        draw(st.integers(0, 2**24 - 1)),
        filled(f"pack {number % 3}", 32).hex(),
        f"version {number % 2}",
        draw(st.integers(64, 1000)),
        encrypted_size(encoded, SUITES[suite].segment_bytes),
        plain,
        base,
    )


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


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 70) | st.text("a0", max_size=3),
    lambda inner: (
        st.lists(inner, max_size=6)
        | st.dictionaries(st.sampled_from(["packs", "files", "a"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@COSTLY
@given(st.lists(chunk_refs(), max_size=6))
def test_an_index_segment_reads_back(refs: list[ChunkRef]) -> None:
    assert parse_segment(format_segment(refs)) == tuple(refs)


@COSTLY
@given(file_lists())
def test_a_page_reads_back(entries: list[FileEntry]) -> None:
    assert parse_page(format_page(entries)) == tuple(entries)


@COSTLY
@given(file_lists(), st.lists(chunk_refs(), max_size=3))
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


GROUPED_REF = replace(raw_ref(1), codec=Codec.GROUPED, stored_bytes=500)
DELTA_REF = replace(GROUPED_REF, codec=Codec.DELTA, base=raw_ref(7))


def tables_of(*refs: ChunkRef) -> list[tuple[int, Callable[[int], object]]]:
    """The format of each table of these chunks, and what parses it as another."""
    segment = format_segment(refs)
    page = canonical.decode_object(format_page([file_entry("a", *refs)]), 10_000)
    root = PageRef("a", "b", 2, 1000, refs)
    manifest = format_manifest(
        Manifest(ARTIFACT_ID, "sha256:" + "0" * 64, 2, 1000, (root,))
    )
    return [
        (segment["format"], lambda to: parse_segment(segment | {"format": to})),
        (
            page["format"],
            lambda to: parse_page(canonical.encode(page | {"format": to})),
        ),
        (
            manifest["format"],
            lambda to: parse_manifest(manifest | {"format": to}, ARTIFACT_ID),
        ),
    ]


@pytest.mark.parametrize("ref", [raw_ref(), GROUPED_REF, DELTA_REF])
def test_a_table_has_the_lowest_format_that_has_words_for_it(ref: ChunkRef) -> None:
    right = 1 if ref.codec == Codec.RAW else 2
    for number, parse in tables_of(ref):
        assert number == right
        parse(right)
        with pytest.raises(IntegrityError):
            parse(3 - right)


@pytest.mark.parametrize("number", [3, 2**53 - 1])
def test_a_table_of_a_later_format_is_unsupported_and_not_damaged(number: int) -> None:
    for _, parse in tables_of(DELTA_REF):
        with pytest.raises(PreconditionError) as caught:
            parse(number)
        assert caught.value.reason is Reason.FORMAT_UNSUPPORTED


@pytest.mark.parametrize("number", [0, -1, "2", None, True])
def test_what_is_no_format_is_damage(number: int) -> None:
    for _, parse in tables_of(DELTA_REF):
        with pytest.raises(IntegrityError):
            parse(number)


@pytest.mark.parametrize(
    "change",
    [
        lambda fields: fields[:8],
        lambda fields: [*fields[:8], None],
        lambda fields: [*fields[:8], []],
        lambda fields: [*fields, fields[8]],
        lambda fields: [*fields[:8], fields],
        lambda fields: [*fields[:8], [*fields[8][:4], 999, *fields[8][5:]]],
        lambda fields: [*fields[:8], [*fields[8][:5], 3, *fields[8][6:]]],
        lambda fields: [*fields[:5], 2, *fields[6:]],
        lambda fields: [*fields[:5], 4, *fields[6:]],
    ],
)
def test_a_delta_has_one_base_that_is_none(
    change: Callable[[list[Any]], list[Any]],
) -> None:
    segment = format_segment([GROUPED_REF, DELTA_REF])
    assert parse_segment(segment) == (GROUPED_REF, DELTA_REF)
    segment["chunks"][1] = change(segment["chunks"][1])

    with pytest.raises(IntegrityError):
        parse_segment(segment)


@st.composite
def page_refs(draw: st.DrawFn) -> list[PageRef]:
    paths = draw(st.lists(st.text("ab/ü", min_size=1), unique=True, max_size=12))
    paths.sort(key=path_order)
    return [
        PageRef(first, last, draw(st.integers(1, 9)), draw(st.integers(0, 99)),
                tuple(draw(st.lists(chunk_refs(), max_size=2))))
        for first, last in zip(paths[::2], paths[1::2], strict=False)
    ]  # fmt: skip


@COSTLY
@given(page_refs())
def test_a_list_of_pages_reads_back(pages: list[PageRef]) -> None:
    assert parse_list(format_list(pages)) == tuple(pages)


@COSTLY
@given(page_refs())
def test_a_manifest_of_lists_reads_back(lists: list[PageRef]) -> None:
    totals = (
        sum(item.file_count for item in lists),
        sum(item.size_bytes for item in lists),
    )
    digest = "sha256:" + "0" * 64
    manifest = Manifest(ARTIFACT_ID, digest, *totals, (), tuple(lists))
    body = format_manifest(manifest)

    assert parse_manifest(body, ARTIFACT_ID) == manifest
    if lists:
        assert body["format"] == 2
        assert manifest.roots == tuple(lists)
        for level in (0, 2, True, None):
            if level == 0 and any(ref.codec > 1 for ref in parse_refs(body)):
                continue  # so it is a manifest of pages, and a good one
            with pytest.raises(IntegrityError):
                parse_manifest(body | {"level": level}, ARTIFACT_ID)


@QUICK
@given(JSON, JSON, JSON)
def test_any_list_parses_or_is_refused(
    packs: object, chunks: object, pages: object
) -> None:
    body = {"format": 2, "packs": packs, "chunks": chunks, "pages": pages}
    with contextlib.suppress(IntegrityError):
        parse_list(canonical.encode(body))


@QUICK
@given(st.binary(max_size=100))
def test_arbitrary_bytes_are_no_list(data: bytes) -> None:
    with pytest.raises(IntegrityError):
        parse_list(data)


def test_lists_end_at_the_same_pages_always() -> None:
    pages = [
        PageRef(f"{number:06d}", f"{number:06d}/", 1, 1, ()) for number in range(5000)
    ]

    lists = list(split_pages(pages))
    later = list(split_pages(pages[1700:]))

    assert [page for part in lists for page in part] == pages
    assert 5000 // 32 // 2 < len(lists) < 5000 // 32 * 2
    assert set(later[1:]) <= set(lists)
    ends = " ".join(part[-1].last_path for part in lists).encode()
    assert hashlib.sha256(ends).hexdigest()[:12] == "b414dfa1503b"
    whole = [replace(page, last_path="same") for page in pages]
    assert max(map(len, split_pages(whole))) == MAX_LIST_PAGES


@pytest.mark.parametrize("pack", [["aa", "v"], ["A" * 64, "v"], ["a" * 64], "a", 5])
def test_an_impossible_pack_is_refused(pack: object) -> None:
    with pytest.raises(IntegrityError):
        parse_segment({"format": 1, "packs": [pack], "chunks": []})


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
