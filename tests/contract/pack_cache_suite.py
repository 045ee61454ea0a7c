# SPDX-License-Identifier: Apache-2.0
"""What every `PackCache` keeps: what was put comes back, or nothing does."""

from strongroom_server.ports import PackCache

PACK = "ab" * 32
OTHER = "cd" * 32


def read(cache: PackCache, pack: str, offset: int, size: int) -> bytes | None:
    """Read a range; None if it is not there."""
    buffer = memoryview(bytearray(size))
    there = cache.read_into(pack, offset_bytes=offset, buffer=buffer)
    return bytes(buffer) if there else None


class PackCacheSuite:
    """The contract; `cache` is a fixture, with room for 1000 bytes."""

    def test_what_was_put_comes_back(self, cache: PackCache) -> None:
        assert cache.put(PACK, b"0123456789")

        assert read(cache, PACK, 0, 10) == b"0123456789"
        assert read(cache, PACK, 3, 4) == b"3456"

    def test_what_was_not_put_is_not_there(self, cache: PackCache) -> None:
        cache.put(PACK, b"0123456789")

        assert read(cache, OTHER, 0, 1) is None
        assert read(cache, PACK, 8, 3) is None
        assert read(cache, PACK, 20, 1) is None

    def test_what_was_dropped_is_gone(self, cache: PackCache) -> None:
        cache.put(PACK, b"0123456789")

        assert cache.drop(PACK)
        assert not cache.drop(PACK)
        assert read(cache, PACK, 0, 1) is None

    def test_what_is_larger_than_all_room_is_not_kept(self, cache: PackCache) -> None:
        assert not cache.put(PACK, bytes(1001))
        assert read(cache, PACK, 0, 1) is None

    def test_what_was_used_the_longest_ago_makes_room(self, cache: PackCache) -> None:
        for number in range(10):
            assert cache.put(f"{number:064x}", bytes([number]) * 300)

        kept = [
            number
            for number in range(10)
            if read(cache, f"{number:064x}", 0, 300) == bytes([number]) * 300
        ]
        assert 9 in kept
        assert 0 not in kept
        assert len(kept) <= 3

    def test_putting_a_pack_again_changes_nothing(self, cache: PackCache) -> None:
        assert cache.put(PACK, b"0123456789")
        assert cache.put(PACK, b"0123456789")

        assert read(cache, PACK, 0, 10) == b"0123456789"
