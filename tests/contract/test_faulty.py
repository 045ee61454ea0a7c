# SPDX-License-Identifier: Apache-2.0
"""The faulty store keeps the contract until it is told not to."""

from collections.abc import Callable, Iterator

import pytest

from strongroom.errors import UnavailableError
from strongroom_server.adapters.memory import MemoryBlobStore
from tests.contract.blob_store_suite import BlobStoreSuite
from tests.support.faulty import CrashError, Fault, FaultyBlobStore


class TestFaultyBlobStore(BlobStoreSuite):
    @pytest.fixture
    def behind(self) -> MemoryBlobStore:
        return MemoryBlobStore()

    @pytest.fixture
    def store(self, behind: MemoryBlobStore) -> FaultyBlobStore:
        return FaultyBlobStore(behind)


def test_a_queued_fault_hits_the_next_call_of_its_method_only() -> None:
    inner = MemoryBlobStore()
    store = FaultyBlobStore(inner)
    store.queue("put_new", Fault.UNAVAILABLE, Fault.NONE, Fault.ANSWER_LOST)

    with pytest.raises(UnavailableError, match="has done nothing"):
        store.put_new("a", b"1")
    store.check_ready()
    store.put_new("b", b"2")
    with pytest.raises(UnavailableError, match="is done, but fails"):
        store.put_new("c", b"3")

    assert [version.key for version, _ in inner.objects()] == ["b", "c"]


def test_a_short_read_leaves_half_and_fails() -> None:
    inner = MemoryBlobStore()
    store = FaultyBlobStore(inner)
    version_id = inner.put_new("a", b"0123")
    buffer = bytearray(4)
    store.queue("read_into", Fault.SHORT)

    with pytest.raises(UnavailableError):
        store.read_into(
            "a", version_id=version_id, offset_bytes=0, buffer=memoryview(buffer)
        )

    assert buffer == b"01\0\0"


@pytest.mark.parametrize(
    ("method", "listed"),
    [
        ("first_versions", lambda store: store.first_versions("")),
        ("subfolders", lambda store: store.subfolders("")),
    ],
)
def test_a_short_listing_yields_half_and_fails(
    method: str, listed: Callable[[FaultyBlobStore], Iterator[object]]
) -> None:
    inner = MemoryBlobStore()
    store = FaultyBlobStore(inner)
    for key in ("a/1", "b/1", "c/1", "d/1"):
        inner.put_new(key, b"x")
    store.queue(method, Fault.SHORT)
    found: list[object] = []

    with pytest.raises(UnavailableError):
        found.extend(listed(store))

    assert len(found) == 2


def test_after_the_crash_nothing_is_called() -> None:
    inner = MemoryBlobStore()
    store = FaultyBlobStore(inner, stop_after=2)
    store.put_new("a", b"1")
    store.check_ready()

    with pytest.raises(CrashError):
        store.put_new("b", b"2")
    with pytest.raises(CrashError):
        store.check_ready()

    assert store.calls == ["put_new", "check_ready"]
    assert len(inner.objects()) == 1
