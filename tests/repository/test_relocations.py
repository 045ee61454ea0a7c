# SPDX-License-Identifier: Apache-2.0
"""Version ids that are pinned, in a bucket that never had them."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from strongroom.errors import ExhaustedError, IntegrityError, Reason
from strongroom_server.adapters.memory import MemoryBlobPresigner, MemoryBlobStore
from strongroom_server.core import layout
from strongroom_server.core.inventory import StoredObject
from strongroom_server.core.relocation import (
    MAX_ROWS,
    Relocation,
    format_relocations,
    parse_relocations,
    split_relocations,
)
from strongroom_server.ports import BlobNotFoundError
from strongroom_server.repository.relocations import (
    REFRESH_S,
    RelocatedBlobs,
    Relocations,
    open_relocated,
    presigner_for,
    relocation_of,
)
from tests.support.clock import ManualClock

PACK = layout.pack_key("ab" * 32)


def _get(blobs: RelocatedBlobs, version_id: str, key: str = PACK) -> bytes:
    return blobs.get(key, version_id=version_id, max_bytes=100)


def test_a_pinned_version_is_read_where_a_row_says() -> None:
    bucket = MemoryBlobStore()
    here = bucket.put_new(PACK, b"content")
    Relocations(bucket).add([Relocation(PACK, here, ("old", "older"))])
    blobs = open_relocated(bucket, ManualClock())

    assert _get(blobs, "old") == _get(blobs, "older") == _get(blobs, here) == b"content"
    buffer = bytearray(3)
    blobs.read_into(PACK, version_id="old", offset_bytes=4, buffer=memoryview(buffer))
    assert buffer == b"ent"
    assert blobs.known_as(PACK, here) == ("old", "older")
    assert [item.version_id for item in blobs.first_versions(PACK)] == [here]


def test_a_pinned_version_that_is_there_is_never_led_away_from() -> None:
    bucket = MemoryBlobStore()
    pinned = bucket.put_new(PACK, b"content")
    garbage = bucket.overwrite(PACK, b"garbage")
    Relocations(bucket).add([Relocation(PACK, garbage, (pinned,))])
    blobs = open_relocated(bucket, ManualClock())

    assert _get(blobs, pinned) == b"content"
    presigner = presigner_for(blobs, MemoryBlobPresigner())
    url = presigner.presign(PACK, version_id=pinned, lifetime_s=1)
    assert f"versionId={pinned}" in url


def test_urls_are_of_the_version_that_the_bucket_has() -> None:
    bucket = MemoryBlobStore()
    here = bucket.put_new(PACK, b"content")
    Relocations(bucket).add([Relocation(PACK, here, ("old",))])
    blobs = open_relocated(bucket, ManualClock())
    presigner = presigner_for(blobs, MemoryBlobPresigner())

    for _ in range(2):
        url = presigner.presign(PACK, version_id="old", lifetime_s=1)
        assert f"versionId={here}" in url
    other = presigner.presign(PACK, version_id="other", lifetime_s=1)
    assert "versionId=other" in other


def test_what_no_row_tells_of_is_gone() -> None:
    bucket = MemoryBlobStore()
    here = bucket.put_new(PACK, b"content")
    Relocations(bucket).add([Relocation(PACK, here, ("old",))])
    blobs = open_relocated(bucket, ManualClock())

    with pytest.raises(BlobNotFoundError):
        _get(blobs, "unknown")
    with pytest.raises(BlobNotFoundError):
        _get(blobs, "old", layout.pack_key("cd" * 32))


def test_the_first_row_that_leads_to_something_wins() -> None:
    bucket = MemoryBlobStore()
    here = bucket.put_new(PACK, b"content")
    records = Relocations(bucket)
    records.add([Relocation(PACK, "lost", ("old",))])
    records.add([Relocation(PACK, here, ("old",))])

    assert _get(open_relocated(bucket, ManualClock()), "old") == b"content"


def test_new_records_are_looked_for_when_something_is_gone_but_not_always() -> None:
    bucket, clock = MemoryBlobStore(), ManualClock()
    here = bucket.put_new(PACK, b"content")
    blobs = open_relocated(bucket, clock)
    Relocations(bucket).add([Relocation(PACK, here, ("old",))])

    with pytest.raises(BlobNotFoundError):
        _get(blobs, "old")
    clock.advance(REFRESH_S)
    assert _get(blobs, "old") == b"content"


def test_damaged_records_are_passed_over() -> None:
    bucket = MemoryBlobStore()
    here = bucket.put_new(PACK, b"content")
    bucket.put_new(layout.relocation_key(0), b"{}")
    Relocations(bucket).add([Relocation(PACK, here, ("old",))])

    assert [key for key, _ in Relocations(bucket).read()] == [
        layout.relocation_key(0),
        layout.relocation_key(1),
    ]
    assert _get(open_relocated(bucket, ManualClock()), "old") == b"content"


def test_planted_numbers_keep_nobody_from_writing() -> None:
    bucket = MemoryBlobStore()
    here = bucket.put_new(PACK, b"content")
    bucket.put_new(layout.relocation_key(10**20 - 1), b"planted")
    bucket.put_new(layout.RELOCATIONS + "planted", b"planted")

    Relocations(bucket).add([Relocation(PACK, here, ("old",))])

    assert _get(open_relocated(bucket, ManualClock()), "old") == b"content"


def test_two_who_write_at_once_both_have_their_rows() -> None:
    bucket = MemoryBlobStore()
    keys = [layout.pack_key(f"{number:02x}" * 32) for number in range(16)]

    def add(key: str) -> None:
        Relocations(bucket).add([Relocation(key, "here", ("old",))])

    with ThreadPoolExecutor(8) as executor:
        list(executor.map(add, keys))

    found = {row.key for _, rows in Relocations(bucket).read() for row in rows}
    assert found == set(keys)


def test_too_many_rows_are_refused() -> None:
    bucket = MemoryBlobStore()
    Relocations(bucket).add([Relocation(PACK, "here", ("a", "b", "c"))])
    blobs = RelocatedBlobs(bucket, ManualClock(), max_rows=2)

    with pytest.raises(ExhaustedError) as caught:
        blobs.refresh()

    assert caught.value.reason is Reason.TOO_LARGE


def test_rows_are_cut_into_records() -> None:
    rows = [
        Relocation(layout.pack_key(f"{number:064x}"), "here", ("old",))
        for number in range(MAX_ROWS + 1)
    ]

    groups = list(split_relocations(rows))

    assert [len(group) for group in groups] == [MAX_ROWS, 1]
    assert parse_relocations(format_relocations(groups[1])) == (rows[-1],)


def test_long_version_ids_make_records_shorter() -> None:
    rows = [Relocation(PACK, "v" * 1024, ("w" * 1024,)) for _ in range(2000)]

    groups = list(split_relocations(rows))

    assert len(groups) > 1
    assert sum(map(len, groups)) == len(rows)
    for group in groups:
        parse_relocations(format_relocations(group))


@pytest.mark.parametrize(
    "row",
    [
        Relocation("projects/abc", "here", ("old",)),
        Relocation(PACK, "", ("old",)),
        Relocation(PACK, "here", ()),
        Relocation(PACK, "here", ("here",)),
        Relocation(PACK, "here", ("old", "old")),
        Relocation(PACK, "here", ("x" * 1025,)),
        Relocation(PACK, "here", tuple(map(str, range(65)))),
    ],
    ids=["key", "empty", "unknown", "itself", "twice", "long", "many"],
)
def test_rows_that_cannot_be_are_refused(row: Relocation) -> None:
    with pytest.raises(IntegrityError) as caught:
        parse_relocations(format_relocations([row]))

    assert caught.value.reason is Reason.RECORD_CORRUPT


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b'{"format":0,"rows":[],"type":"strongroom.relocations"}',
        b'{"format":true,"rows":[],"type":"strongroom.relocations"}',
        b'{"format":1,"rows":{},"type":"strongroom.relocations"}',
        b'{"format":1,"rows":[[]],"type":"strongroom.relocations"}',
        b'{"format":1,"rows":[],"type":"other"}',
    ],
)
def test_records_that_cannot_be_are_refused(data: bytes) -> None:
    with pytest.raises(IntegrityError):
        parse_relocations(data)


def test_only_what_is_pinned_and_moved_needs_a_row() -> None:
    def row(key: str, known_as: tuple[str, ...]) -> StoredObject:
        return StoredObject(key, "here", "0" * 64, 1, known_as)

    found = relocation_of(row(PACK, ("old", "here")))
    assert found == Relocation(PACK, "here", ("old",))
    assert relocation_of(row(PACK, ("here",))) is None
    assert relocation_of(row("journals/a/b/0", ("old",))) is None
