# SPDX-License-Identifier: Apache-2.0
"""Create if absent: whoever is told that a number is theirs is what readers find."""

from collections.abc import Iterator

import pytest

from strongroom.errors import UnavailableError
from strongroom_server.adapters.memory import MemoryBlobStore
from strongroom_server.ports import BlobVersion
from strongroom_server.repository.numbered_blobs import (
    PUT_ATTEMPTS,
    first_version,
    put_numbered,
)
from tests.support.faulty import Fault, FaultyBlobStore

KEY = "journals/p/a/00000000000000000000"
OURS, OTHERS = b"ours", b"other"


@pytest.fixture
def bucket() -> MemoryBlobStore:
    return MemoryBlobStore()


@pytest.fixture
def faulty(bucket: MemoryBlobStore) -> FaultyBlobStore:
    return FaultyBlobStore(bucket)


def found(bucket: MemoryBlobStore) -> bytes:
    """Return what readers find."""
    first = first_version(bucket, KEY)
    assert first is not None
    return bucket.get(KEY, version_id=first.version_id, max_bytes=100)


def test_who_is_first_gets_the_number(bucket: MemoryBlobStore) -> None:
    assert put_numbered(bucket, KEY, OURS)
    assert found(bucket) == OURS


@pytest.mark.parametrize("theirs", [OTHERS, b"short", b"", b"longer than ours"])
def test_who_comes_second_does_not(bucket: MemoryBlobStore, theirs: bytes) -> None:
    bucket.put_new(KEY, theirs)

    assert not put_numbered(bucket, KEY, OURS)
    assert [data for _, data in bucket.objects()] == [theirs]


@pytest.mark.parametrize("lost", range(1, PUT_ATTEMPTS))
def test_a_write_whose_answer_was_lost_is_found(
    faulty: FaultyBlobStore, bucket: MemoryBlobStore, lost: int
) -> None:
    failed = [Fault.UNAVAILABLE] * (lost - 1)
    faulty.queue("put_new", *failed, Fault.ANSWER_LOST)

    assert put_numbered(faulty, KEY, OURS)
    assert [data for _, data in bucket.objects()] == [OURS]


def test_a_write_that_did_not_happen_is_made(
    faulty: FaultyBlobStore, bucket: MemoryBlobStore
) -> None:
    faulty.queue("put_new", Fault.UNAVAILABLE, Fault.UNAVAILABLE)

    assert put_numbered(faulty, KEY, OURS)
    assert found(bucket) == OURS


def test_a_write_that_did_not_happen_may_find_another_ones(
    faulty: FaultyBlobStore, bucket: MemoryBlobStore
) -> None:
    class Overtaken(FaultyBlobStore):
        def put_new(self, key: str, data: bytes | bytearray | memoryview) -> str:
            try:
                return super().put_new(key, data)
            except UnavailableError:
                bucket.put_new(key, OTHERS)
                raise

    overtaken = Overtaken(bucket)
    overtaken.queue("put_new", Fault.UNAVAILABLE)

    assert not put_numbered(overtaken, KEY, OURS)
    assert found(bucket) == OTHERS


@pytest.mark.parametrize("last", [Fault.UNAVAILABLE, Fault.ANSWER_LOST])
def test_what_is_not_known_in_the_end_is_not_told(
    faulty: FaultyBlobStore, last: Fault
) -> None:
    failed = [Fault.UNAVAILABLE] * (PUT_ATTEMPTS - 1)
    faulty.queue("put_new", *failed, last)

    with pytest.raises(UnavailableError):
        put_numbered(faulty, KEY, OURS)


@pytest.mark.parametrize("method", ["first_versions", "get"])
def test_what_cannot_be_read_back_is_not_told(
    faulty: FaultyBlobStore, method: str
) -> None:
    faulty.queue("put_new", Fault.ANSWER_LOST)
    faulty.queue(method, Fault.UNAVAILABLE)

    with pytest.raises(UnavailableError):
        put_numbered(faulty, KEY, OURS)


def test_a_write_over_a_delete_marker_is_nobodys(bucket: MemoryBlobStore) -> None:
    bucket.put_new(KEY, OTHERS)
    bucket.add_delete_marker(KEY)

    assert not put_numbered(bucket, KEY, OURS)
    assert found(bucket) == OTHERS


def test_a_write_below_a_delete_marker_is_ours_all_the_same(
    bucket: MemoryBlobStore,
) -> None:
    class Hidden(FaultyBlobStore):
        def put_new(self, key: str, data: bytes | bytearray | memoryview) -> str:
            try:
                return super().put_new(key, data)
            except UnavailableError:
                bucket.add_delete_marker(key)
                raise

    hidden = Hidden(bucket)
    hidden.queue("put_new", Fault.ANSWER_LOST)

    assert put_numbered(hidden, KEY, OURS)
    assert [data for _, data in bucket.objects()] == [OURS, OURS]


def test_a_write_over_nothing_but_a_delete_marker_is_ours(
    bucket: MemoryBlobStore,
) -> None:
    bucket.add_delete_marker(KEY)

    assert put_numbered(bucket, KEY, OURS)


def test_of_all_that_begins_like_a_key_one_is_looked_at(
    bucket: MemoryBlobStore,
) -> None:
    class Vast(FaultyBlobStore):
        def first_versions(
            self, prefix: str, *, start_after: str = ""
        ) -> Iterator[BlobVersion]:
            yield next(super().first_versions(prefix, start_after=start_after))
            message = "the listing goes on"
            raise AssertionError(message)

    bucket.put_new(KEY + "0", OTHERS)
    assert first_version(Vast(bucket), KEY) is None
    bucket.put_new(KEY, OURS)
    assert first_version(Vast(bucket), KEY) is not None


def test_an_object_beside_the_number_is_not_taken_for_it(
    bucket: MemoryBlobStore,
) -> None:
    bucket.put_new(KEY + "0", OTHERS)

    assert first_version(bucket, KEY) is None
    assert put_numbered(bucket, KEY, OURS)
    assert found(bucket) == OURS
