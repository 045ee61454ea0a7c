# SPDX-License-Identifier: Apache-2.0
"""Packs in memory on their way to a disk: nobody waits for it, nothing outlives it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from strongroom_server.adapters.memory_packs import MemoryPackCache
from strongroom_server.ports import PackCache, ReadBuffer
from strongroom_server.repository.budget import ByteBudget
from strongroom_server.repository.pack_arrivals import (
    MAX_AHEAD,
    MAX_WAITING,
    PACK_BYTES,
    WRITERS,
    PackArrivals,
)

DATA = bytes(range(256)) * 40
WAIT_S = 30.0


class SlowDisk(MemoryPackCache):
    """A disk that keeps nothing until it is let go."""

    def __init__(self) -> None:
        super().__init__(max_bytes=1 << 30)
        self.begun = threading.Semaphore(0)
        self.free = threading.Event()
        self.put_packs: list[str] = []

    def put(self, pack: str, data: ReadBuffer) -> bool:
        self.begun.release()
        assert self.free.wait(WAIT_S)
        self.put_packs.append(pack)
        return super().put(pack, data)


class Packs:
    """Arrivals before a slow disk, and how packs come."""

    def __init__(self, *, room: int = 8) -> None:
        self.disk = SlowDisk()
        self.budget = ByteBudget(room * PACK_BYTES)
        self.kept = PackArrivals(self.disk, self.budget)
        self.told: list[bool] = []

    def bring(self, pack: str, *, is_right: bool = True) -> bool:
        """Fetch a pack as its first reader does; return whether there was room."""
        arrival, mine = self.kept.begin(pack)
        if arrival is None:
            return False
        assert mine
        try:
            data = self.kept.lend(arrival, len(DATA))
            data[:] = DATA
            self.kept.arrived(arrival, data, lambda _: is_right, self.told.append)
        finally:
            self.kept.leave(arrival)
        return True

    def fill(self) -> list[str]:
        """Have as many packs before the disk as may be; return their names."""
        names = [str(number) for number in range(MAX_AHEAD)]
        for name in names:
            assert self.bring(name)
            if name == names[0]:  # Else it would wait, and give way to the last one.
                assert self.disk.begun.acquire(timeout=WAIT_S)
        return names

    def read(self, pack: str, offset: int = 0, size: int = len(DATA)) -> bytes | None:
        buffer = bytearray(size)
        with memoryview(buffer) as view:
            found = self.kept.read_into(pack, offset_bytes=offset, buffer=view)
        return bytes(buffer) if found else None

    def settle(self) -> None:
        self.disk.free.set()
        assert self.kept.settle(WAIT_S)
        assert self.budget.free_bytes == 8 * PACK_BYTES


@pytest.fixture
def packs() -> Iterator[Packs]:
    with closing(Packs()) as made:
        yield made


@contextmanager
def closing(made: Packs) -> Iterator[Packs]:
    yield made
    made.disk.free.set()
    made.kept.close()


def test_a_pack_is_read_while_the_disk_still_takes_it(packs: Packs) -> None:
    packs.bring("a")
    assert packs.disk.begun.acquire(timeout=WAIT_S)

    assert packs.read("a") == DATA
    assert packs.read("a", 1000, 24) == DATA[1000:1024]
    assert packs.read("a", len(DATA) - 1, 2) is None
    assert not packs.disk.put_packs

    packs.settle()
    assert packs.disk.put_packs == ["a"]
    assert packs.told == [True]
    assert packs.read("a") == DATA


def test_who_comes_second_waits_for_the_fetch_and_not_for_the_disk(
    packs: Packs,
) -> None:
    arrival, mine = packs.kept.begin("a")
    again, also_mine = packs.kept.begin("a")
    assert arrival is not None
    assert (mine, also_mine) == (True, False)
    assert again is arrival
    assert packs.read("a") is None

    data = packs.kept.lend(arrival, len(DATA))
    data[:] = DATA
    packs.kept.arrived(arrival, data, lambda _: True, packs.told.append)
    packs.kept.leave(arrival)

    assert arrival.here.is_set()
    assert packs.read("a") == DATA
    packs.settle()


def test_a_fetch_that_fails_keeps_nobody_waiting_and_no_memory(packs: Packs) -> None:
    arrival, _ = packs.kept.begin("a")
    assert arrival is not None
    packs.kept.lend(arrival, len(DATA))
    packs.kept.leave(arrival)

    assert arrival.here.is_set()
    assert packs.read("a") is None
    assert packs.bring("a")
    packs.settle()


def test_a_disk_that_falls_behind_is_given_the_newest(packs: Packs) -> None:
    names = [str(number) for number in range(MAX_WAITING + 4)]
    packs.bring(names[0])
    assert packs.disk.begun.acquire(timeout=WAIT_S)
    for name in names[1:]:
        packs.bring(name)

    assert packs.read(names[1]) is None
    assert packs.read(names[-1]) == DATA
    held = 8 * PACK_BYTES - packs.budget.free_bytes
    assert held == (MAX_WAITING + 1) * PACK_BYTES

    packs.settle()
    assert packs.disk.put_packs == [names[0], *names[-MAX_WAITING:]]


def test_who_can_wait_takes_nothing_from_others_and_begins_once_the_disk_is_free(
    packs: Packs,
) -> None:
    was_behind = packs.kept.is_behind
    names = packs.fill()
    assert (was_behind, packs.kept.is_behind) == (False, True)

    assert packs.kept.begin("late", wait_s=0.05) == (None, False)
    # What is here already is shared at once.
    assert packs.kept.begin(names[1], wait_s=WAIT_S)[1] is False

    begun: list[bool] = []

    def wait() -> None:
        arrival, mine = packs.kept.begin("late", wait_s=WAIT_S)
        assert arrival is not None
        begun.append(mine)
        packs.kept.leave(arrival)

    waiting = threading.Thread(target=wait)
    waiting.start()
    packs.disk.free.set()
    waiting.join(WAIT_S)
    packs.settle()
    assert begun == [True]
    assert sorted(packs.disk.put_packs) == names


def test_a_second_thread_helps_while_somebody_waits_for_the_disk(packs: Packs) -> None:
    names = packs.fill()
    # Nobody waits: the processors are left to who reads.
    assert not packs.disk.begun.acquire(timeout=0.05)

    late = [f"late {number}" for number in range(3)]
    waiting = [
        threading.Thread(target=packs.kept.begin, args=(name,), kwargs={"wait_s": 0.5})
        for name in late
    ]
    for thread in waiting:
        thread.start()
    for _ in range(WRITERS - 1):
        assert packs.disk.begun.acquire(timeout=WAIT_S)
    assert not packs.disk.begun.acquire(timeout=0.05)

    for thread in waiting:
        thread.join(WAIT_S)
    packs.settle()
    assert sorted(packs.disk.put_packs) == names


def test_without_memory_what_waits_for_the_disk_makes_room() -> None:
    with closing(Packs(room=2)) as packs:
        packs.bring("a")
        assert packs.disk.begun.acquire(timeout=WAIT_S)
        assert packs.bring("b")
        assert packs.bring("c")
        assert packs.read("b") is None

        # The disk has one, a reader the other.
        taken, _ = packs.kept.begin("d")
        assert taken is not None
        assert packs.kept.begin("e") == (None, False)
        packs.kept.leave(taken)


def test_what_is_dropped_is_gone_at_once_and_never_comes_to_the_disk(
    packs: Packs,
) -> None:
    packs.bring("being put")
    assert packs.disk.begun.acquire(timeout=WAIT_S)
    packs.bring("waiting")
    coming, _ = packs.kept.begin("coming")
    assert coming is not None

    for pack in ("being put", "waiting", "coming"):
        assert packs.kept.drop(pack)
        assert packs.read(pack) is None
    data = packs.kept.lend(coming, len(DATA))
    packs.kept.arrived(coming, data, lambda _: True, packs.told.append)
    packs.kept.leave(coming)

    packs.settle()
    for pack in ("being put", "waiting", "coming"):
        assert packs.read(pack) is None
    assert packs.disk.put_packs == ["being put"]


def test_what_is_not_what_its_name_says_is_not_put(packs: Packs) -> None:
    packs.disk.free.set()
    packs.bring("a", is_right=False)

    packs.settle()
    assert packs.read("a") is None
    assert not packs.disk.put_packs
    assert not packs.told


def test_after_the_end_nothing_is_fetched_or_put(packs: Packs) -> None:
    packs.bring("a")
    assert packs.disk.begun.acquire(timeout=WAIT_S)
    packs.bring("b")
    packs.disk.free.set()
    packs.kept.close()

    assert not packs.bring("c")
    assert packs.disk.put_packs == ["a"]
    packs.settle()


_disk: type[PackCache] = SlowDisk
