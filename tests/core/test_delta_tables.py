# SPDX-License-Identifier: Apache-2.0
"""Tables of format 2: deltas with their bases, and lists of pages."""

import contextlib
import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.errors import IntegrityError, PreconditionError, Reason
from strongroom.format.digest import path_order
from strongroom_server.core import canonical
from strongroom_server.core.chunk import ChunkRef
from strongroom_server.core.codecs import Codec
from strongroom_server.core.filetable import PageRef, format_page, parse_page
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
from tests.support.properties import COSTLY, QUICK
from tests.support.samples import ARTIFACT_ID, file_entry, raw_ref
from tests.support.tables import JSON, page_chunks

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


@pytest.mark.parametrize("number", [4, 2**53 - 1])
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
                tuple(draw(st.lists(page_chunks(), max_size=2))))
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
