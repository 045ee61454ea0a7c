# SPDX-License-Identifier: Apache-2.0
"""A sidecar's packs: fetched whole once, kept on the disk, by ranges where it fails."""

from collections.abc import Iterator

import pytest

from strongroom.errors import IntegrityError, Reason
from strongroom_server.repository.pack_arrivals import MAX_AHEAD, Arrival
from tests.support.sidecars import BIG, FILES, MIB, ONE, Sidecar, sidecar_world


@pytest.fixture
def sidecar() -> Iterator[Sidecar]:
    with sidecar_world() as made:
        made.world.push(FILES)
        yield made


def test_packs_are_fetched_once_and_then_come_from_the_disk(sidecar: Sidecar) -> None:
    sidecar.read(ONE)
    fetched = len(sidecar.packs.requests)
    assert fetched <= len(sidecar.world.keys("packs/"))

    assert sidecar.read(ONE) == FILES
    assert len(sidecar.packs.requests) == fetched


def test_a_few_small_reads_fetch_no_whole_pack(sidecar: Sidecar) -> None:
    sidecar.read(ONE, "big.bin", offset=MIB, length=10)

    assert all(0 < size <= MIB + 16 for _, size in sidecar.packs.requests)


def test_without_room_on_the_disk_all_is_read_all_the_same() -> None:
    with sidecar_world(cache_bytes=0) as sidecar:
        sidecar.world.push(FILES)

        assert sidecar.read(ONE) == FILES
        assert sidecar.read(ONE) == FILES


def test_what_is_damaged_on_the_disk_is_fetched_anew(sidecar: Sidecar) -> None:
    sidecar.read(ONE)
    packs = [key.rpartition("/")[2] for key in sidecar.world.keys("packs/")]
    for pack in packs:
        if sidecar.cache.read_into(
            pack, offset_bytes=0, buffer=memoryview(bytearray(1))
        ):
            sidecar.cache.corrupt(pack)

    assert sidecar.read(ONE) == FILES


def test_a_forged_pack_is_never_kept_nor_handed_out(sidecar: Sidecar) -> None:
    sidecar.book.open(ONE, paths=())
    for item, data in sidecar.world.bucket.objects():
        if item.key.startswith("packs/"):
            forged = bytes(len(data) // 2) + data[len(data) // 2 :]
            sidecar.world.bucket.corrupt(item.key, item.version_id, forged)

    with pytest.raises(IntegrityError) as error:
        sidecar.read(ONE, "big.bin")

    assert error.value.reason is Reason.CHUNK_CORRUPT
    assert "big.bin" in error.value.message
    kept = [key.rpartition("/")[2] for key in sidecar.world.keys("packs/")]
    assert not any(sidecar.cache.drop(pack) for pack in kept)


def test_without_room_on_the_disk_ranges_are_fetched() -> None:
    with sidecar_world(cache_bytes=0) as sidecar:
        sidecar.world.push({"big.bin": BIG})
        for number in range(100):
            sidecar.read(ONE, "big.bin", offset=number * 100_000, length=4096)

        whole = [size for _, size in sidecar.packs.requests if not size]
        assert len(whole) <= 1


def test_one_small_read_waits_for_a_disk_that_hangs_and_the_next_ones_do_not(
    sidecar: Sidecar, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(MAX_AHEAD):
        arrival, _ = sidecar.kept.begin(f"hangs {number}")
        assert arrival is not None
    begin, waited = sidecar.kept.begin, list[str]()

    def noting(pack: str, *, wait_s: float = 0.0) -> tuple[Arrival | None, bool]:
        waited.append(pack)
        return begin(pack, wait_s=wait_s and 0.05)

    monkeypatch.setattr(sidecar.kept, "begin", noting)
    for number in range(20):
        offset = number * 70_000
        [data] = sidecar.read(ONE, "big.bin", offset=offset, length=4096).values()
        assert data == BIG[offset : offset + 4096]

    assert len(waited) == 1
    assert all(size for _, size in sidecar.packs.requests)
