# SPDX-License-Identifier: Apache-2.0
"""What every `BlobStore` must do, whoever makes it.

A subclass gives two fixtures: `store`, empty and for this test alone, and `behind`,
which does to the same keys what an adversary with the bucket's credential could.
"""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import pytest

from strongroom.errors import IntegrityError
from strongroom_server.ports import BlobExistsError, BlobNotFoundError, BlobStore

MIB = 2**20
RACERS = 16


class Behind(Protocol):
    """The bucket, behind the store's back."""

    def overwrite(self, key: str, data: bytes) -> str: ...

    def add_delete_marker(self, key: str) -> str: ...


class BlobStoreSuite:
    """The contract of `strongroom_server.ports.BlobStore`, as tests."""

    def test_what_was_put_is_read_by_its_version(self, store: BlobStore) -> None:
        version_id = store.put_new("packs/ab/1", b"first")

        data = store.get("packs/ab/1", version_id=version_id, max_bytes=5)

        assert data == b"first"

    @pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
    def test_any_buffer_can_be_put(
        self, store: BlobStore, kind: type[bytes] | type[bytearray] | type[memoryview]
    ) -> None:
        data = bytes(range(256)) * 3000

        version_id = store.put_new("packs/ab/1", kind(data))

        assert store.get("packs/ab/1", version_id=version_id, max_bytes=MIB) == data

    def test_a_later_change_of_the_buffer_changes_nothing(
        self, store: BlobStore
    ) -> None:
        buffer = bytearray(b"first")
        version_id = store.put_new("packs/ab/1", buffer)

        buffer[:] = b"other"

        assert store.get("packs/ab/1", version_id=version_id, max_bytes=5) == b"first"

    def test_an_empty_object_is_an_object(self, store: BlobStore) -> None:
        version_id = store.put_new("packs/ab/1", b"")

        assert store.get("packs/ab/1", version_id=version_id, max_bytes=0) == b""
        with pytest.raises(BlobExistsError):
            store.put_new("packs/ab/1", b"second")

    def test_a_pack_of_16_mib_goes_and_comes(self, store: BlobStore) -> None:
        data = b"".join(number.to_bytes(8, "big") for number in range(2 * MIB))
        version_id = store.put_new("packs/ab/1", data)
        buffer = bytearray(len(data))

        store.read_into(
            "packs/ab/1",
            version_id=version_id,
            offset_bytes=0,
            buffer=memoryview(buffer),
        )

        assert buffer == data
        assert (
            store.get("packs/ab/1", version_id=version_id, max_bytes=16 * MIB) == data
        )

    def test_a_key_that_is_taken_is_refused_and_kept(self, store: BlobStore) -> None:
        version_id = store.put_new("journals/a/1", b"first")

        with pytest.raises(BlobExistsError):
            store.put_new("journals/a/1", b"second")

        assert store.get("journals/a/1", version_id=version_id, max_bytes=9) == b"first"
        assert [v.version_id for v in store.first_versions("journals/")] == [version_id]

    def test_of_sixteen_writers_exactly_one_wins(self, store: BlobStore) -> None:
        barrier = threading.Barrier(RACERS)

        def race(number: int) -> str:
            barrier.wait(timeout=30)
            try:
                return store.put_new("journals/a/1", b"%02d" % number)
            except BlobExistsError:
                return ""

        with ThreadPoolExecutor(RACERS) as pool:
            version_ids = list(pool.map(race, range(RACERS)))

        (winner,) = filter(None, version_ids)
        data = store.get("journals/a/1", version_id=winner, max_bytes=2)
        assert data == b"%02d" % version_ids.index(winner)
        assert Counter(map(bool, version_ids)) == {True: 1, False: RACERS - 1}
        assert [v.version_id for v in store.first_versions("journals/")] == [winner]

    def test_a_delete_marker_counts_as_no_object(
        self, store: BlobStore, behind: Behind
    ) -> None:
        first = store.put_new("journals/a/1", b"first")
        behind.add_delete_marker("journals/a/1")

        second = store.put_new("journals/a/1", b"second")

        assert first != second
        assert store.get("journals/a/1", version_id=first, max_bytes=6) == b"first"
        assert store.get("journals/a/1", version_id=second, max_bytes=6) == b"second"

    def test_pinned_reads_see_neither_overwrite_nor_delete(
        self, store: BlobStore, behind: Behind
    ) -> None:
        version_id = store.put_new("packs/ab/1", b"first")
        behind.overwrite("packs/ab/1", b"evil!")
        behind.add_delete_marker("packs/ab/1")
        buffer = bytearray(3)

        store.read_into(
            "packs/ab/1",
            version_id=version_id,
            offset_bytes=1,
            buffer=memoryview(buffer),
        )

        assert store.get("packs/ab/1", version_id=version_id, max_bytes=5) == b"first"
        assert buffer == b"irs"

    def test_a_version_that_is_not_there_is_not_found(
        self, store: BlobStore, behind: Behind
    ) -> None:
        version_id = store.put_new("packs/ab/1", b"first")
        marker_id = behind.add_delete_marker("packs/ab/1")
        wrong_id = version_id[:-4] + "0000"

        for key, asked in [
            ("packs/ab/1", wrong_id),
            ("packs/ab/1", marker_id),
            ("packs/ab/2", version_id),
        ]:
            with pytest.raises(BlobNotFoundError):
                store.get(key, version_id=asked, max_bytes=5)
            with pytest.raises(BlobNotFoundError):
                store.read_into(
                    key,
                    version_id=asked,
                    offset_bytes=0,
                    buffer=memoryview(bytearray(1)),
                )

    def test_an_object_over_the_limit_is_not_read(self, store: BlobStore) -> None:
        version_id = store.put_new("packs/ab/1", b"first")

        with pytest.raises(IntegrityError, match="5 bytes, more than 4"):
            store.get("packs/ab/1", version_id=version_id, max_bytes=4)

    @pytest.mark.parametrize(
        ("offset", "size"), [(0, 1), (0, 256), (255, 1), (17, 100), (128, 128)]
    )
    def test_a_range_is_exact(self, store: BlobStore, offset: int, size: int) -> None:
        data = bytes(range(256))
        version_id = store.put_new("packs/ab/1", data)
        buffer = bytearray(b"\xee" * (size + 2))

        store.read_into(
            "packs/ab/1",
            version_id=version_id,
            offset_bytes=offset,
            buffer=memoryview(buffer)[1:-1],
        )

        assert buffer[1:-1] == data[offset : offset + size]
        assert buffer[0] == buffer[-1] == 0xEE

    @pytest.mark.parametrize(
        ("offset", "size"), [(0, 257), (255, 2), (256, 1), (300, 5)]
    )
    def test_a_range_past_the_end_is_not_found(
        self, store: BlobStore, offset: int, size: int
    ) -> None:
        version_id = store.put_new("packs/ab/1", bytes(range(256)))

        with pytest.raises(BlobNotFoundError):
            store.read_into(
                "packs/ab/1",
                version_id=version_id,
                offset_bytes=offset,
                buffer=memoryview(bytearray(size)),
            )

    def test_an_empty_buffer_asks_for_nothing(self, store: BlobStore) -> None:
        version_id = store.put_new("packs/ab/1", b"first")

        store.read_into(
            "packs/ab/1",
            version_id=version_id,
            offset_bytes=2,
            buffer=memoryview(bytearray()),
        )

    def test_a_listing_shows_the_first_write_through_everything(
        self, store: BlobStore, behind: Behind
    ) -> None:
        first_id = store.put_new("journals/a/1", b"first")
        second_id = store.put_new("journals/a/2", b"of two")
        third_id = store.put_new("journals/a/3", b"3")
        behind.add_delete_marker("journals/a/1")
        store.put_new("journals/a/1", b"later, over a marker")
        behind.overwrite("journals/a/2", b"later, over the object")
        behind.add_delete_marker("journals/a/3")
        behind.add_delete_marker("journals/a/3")
        behind.add_delete_marker("journals/a/4")

        found = list(store.first_versions("journals/a/"))

        assert [(v.key, v.version_id, v.size_bytes) for v in found] == [
            ("journals/a/1", first_id, 5),
            ("journals/a/2", second_id, 6),
            ("journals/a/3", third_id, 1),
        ]

    def test_a_listing_keeps_to_its_prefix_and_order(self, store: BlobStore) -> None:
        keys = ["keys/a/1.1", "keys/a/1.2", "keys/b/1.1", "packs/ab/1", "packs/ac/1"]
        for key in reversed(keys):
            store.put_new(key, b"x")

        assert [v.key for v in store.first_versions("")] == keys
        assert [v.key for v in store.first_versions("keys/a/")] == keys[:2]
        assert [v.key for v in store.first_versions("packs/a")] == keys[3:]
        assert list(store.first_versions("index/")) == []

    def test_a_listing_begins_after_a_key(
        self, store: BlobStore, behind: Behind
    ) -> None:
        for number in range(1, 6):
            store.put_new(f"journals/a/{number}", b"x")
        behind.overwrite("journals/a/3", b"y")

        def after(start: str) -> list[str]:
            found = store.first_versions("journals/a/", start_after=start)
            return [version.key.rpartition("/")[2] for version in found]

        assert after("journals/a/3") == ["4", "5"]
        assert after("journals/a/33") == ["4", "5"]
        assert after("journals/a/5") == []
        assert after("journals/") == ["1", "2", "3", "4", "5"]

    def test_subfolders_are_each_named_once_and_in_order(
        self, store: BlobStore, behind: Behind
    ) -> None:
        for key in ["j/b/1", "j/b/2", "j/a/1", "j/c/x/1", "j/d", "k/e/1"]:
            store.put_new(key, b"x")
        behind.add_delete_marker("j/a/1")

        assert list(store.subfolders("j/")) == ["j/a/", "j/b/", "j/c/"]
        assert list(store.subfolders("")) == ["j/", "k/"]
        assert list(store.subfolders("j/c/")) == ["j/c/x/"]
        assert list(store.subfolders("none/")) == []

    @pytest.mark.slow
    def test_a_listing_of_more_than_a_page_is_whole(
        self, store: BlobStore, behind: Behind
    ) -> None:
        keys = [f"journals/{number:04d}/{0:020d}" for number in range(1050)]

        def put(key: str) -> str:
            version_id = store.put_new(key, b"x")
            if key.endswith("0", 9, 13):
                behind.overwrite(key, b"later")
                behind.add_delete_marker(key)
            return version_id

        with ThreadPoolExecutor(8) as pool:
            version_ids = list(pool.map(put, keys))

        found = list(store.first_versions("journals/"))
        after = store.first_versions("journals/", start_after=keys[1000])
        folders = list(store.subfolders("journals/"))
        assert [(v.key, v.version_id) for v in found] == list(
            zip(keys, version_ids, strict=True)
        )
        assert [version.key for version in after] == keys[1001:]
        assert folders == [key[:14] for key in keys]

    def test_it_is_ready(self, store: BlobStore) -> None:
        store.check_ready()

    def test_what_is_listed_was_written_by_the_stores_own_clock(
        self, store: BlobStore
    ) -> None:
        before_s = store.time_s()
        store.put_new("packs/ab/1", b"first")
        store.put_new("packs/ab/2", b"second")
        after_s = store.time_s()

        times = [item.modified_s for item in store.first_versions("packs/")]

        # S3 tells time in whole seconds.
        assert before_s - 2 <= times[0] <= times[1] <= after_s + 2
