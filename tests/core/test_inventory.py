# SPDX-License-Identifier: Apache-2.0
"""Inventories: where pages end, and what no page says."""

import random
from contextlib import suppress
from dataclasses import replace

import pytest

from strongroom.errors import IntegrityError, StrongroomError
from strongroom_server.core import inventory
from strongroom_server.core.inventory import StoredObject, cut_pages, encode_page
from tests.support.samples import filled
from tests.vectors.backup_cases import row


def rows_of(count: int) -> list[StoredObject]:
    names = sorted(filled(f"object {number}", 32).hex() for number in range(count))
    return [
        StoredObject(f"packs/{name[:2]}/{name}", f"v-{name[:8]}", name, 1000, ())
        for name in names
    ]


def digests(rows: list[StoredObject]) -> list[str]:
    return [inventory.digest_of(encode_page(page)) for page in cut_pages(rows)]


def test_pages_hold_all_rows_in_order_and_are_neither_empty_nor_too_long() -> None:
    rows = rows_of(5000)

    pages = list(cut_pages(rows))

    assert [item for page in pages for item in page] == rows
    assert all(0 < len(page) <= inventory.MAX_PAGE_ROWS for page in pages)
    assert 5000 / 512 < len(pages) < 5000 / 64


def test_another_object_changes_only_the_page_that_it_is_in() -> None:
    rows = rows_of(4000)
    name = filled("the new one", 32).hex()
    new = StoredObject(f"packs/{name[:2]}/{name}", "v-new", name, 1, ())

    before, after = digests(rows), digests(sorted([*rows, new], key=lambda r: r.key))

    assert len(set(after) - set(before)) <= 2
    assert len(set(before) - set(after)) <= 2


def test_an_object_less_changes_only_the_page_that_it_was_in() -> None:
    rows = rows_of(4000)
    rest = [*rows]
    del rest[random.Random(1).randrange(len(rest))]

    assert len(set(digests(rest)) - set(digests(rows))) <= 2


def test_rows_that_are_known_by_many_ids_fill_pages_sooner() -> None:
    ids = tuple(f"{number:02d}" + "i" * 1000 for number in range(64))
    rows = [replace(item, known_as=ids) for item in rows_of(200)]

    pages = [encode_page(page) for page in cut_pages(rows)]

    assert len(pages) > 2
    assert all(len(page) <= inventory.MAX_PAGE_BYTES for page in pages)


def test_names_that_need_escapes_fit_their_pages() -> None:
    ids = tuple(f"{number:02d}" + '"\\' * 500 for number in range(64))
    rows = [replace(item, known_as=ids) for item in rows_of(200)]

    assert all(
        len(encode_page(page)) <= inventory.MAX_PAGE_BYTES for page in cut_pages(rows)
    )


def test_nothing_has_no_page() -> None:
    assert list(cut_pages([])) == []


def test_rows_out_of_order_are_refused_before_anything_is_stored() -> None:
    with pytest.raises(IntegrityError):
        list(cut_pages([row(2), row(1)]))
    with pytest.raises(IntegrityError):
        encode_page([row(2), row(1)])


def test_a_page_that_lost_its_end_or_a_bit_is_never_read_as_another() -> None:
    page = encode_page([row(1, "p1"), row(2)])
    rows = inventory.parse_page(page)
    for place in range(len(page)):
        for data in (page[:place], _flipped(page, place)):
            assert inventory.digest_of(data) != inventory.digest_of(page)
            with suppress(StrongroomError):
                assert inventory.parse_page(data) != rows


def _flipped(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
