# SPDX-License-Identifier: Apache-2.0
"""A backup that ends, or fails, at any of its calls: there is none, or it is whole.

At each call of the backup bucket, and of the store, the process is gone before it, or
the call fails, or it is done and its answer is lost. What has a root is whole. Then
another server takes one, and its root says the same as if nothing had happened.
"""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

import pytest

from strongroom.errors import UnavailableError
from strongroom_server.adapters.entropy import SystemEntropy
from strongroom_server.adapters.memory import MemoryBlobStore
from strongroom_server.adapters.memory_keys import MemoryKeyService
from strongroom_server.adapters.memory_locked import MemoryLockedBlobs
from strongroom_server.ports import BlobVersion, Lock, ReadBuffer
from tests.simulation.signing import HmacSigner
from tests.support.backups import BackedUp
from tests.support.clock import ManualClock
from tests.support.faulty import CrashError, Fault, FaultyBlobStore
from tests.support.samples import filled
from tests.support.world import World

FIRST = {"weights": filled("weights", 40_000)}
SECOND = {**FIRST, "more": filled("more", 10_000)}
Answer = TypeVar("Answer")
FAULTS = (None, Fault.UNAVAILABLE, Fault.ANSWER_LOST)


class DyingBucket(MemoryLockedBlobs):
    """A backup bucket, one of whose calls fails, or that is gone from it on."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock)
        self.calls = 0
        self.fail_at = -1
        self.fault: Fault | None = None

    def _begin(self) -> Fault:
        self.calls += 1
        if self.fail_at < 0 or self.calls <= self.fail_at:
            return Fault.NONE
        if self.fault is None:
            raise CrashError
        if self.calls > self.fail_at + 1:
            return Fault.NONE
        if self.fault is Fault.UNAVAILABLE:
            message = "the bucket cannot be reached"
            raise UnavailableError(message)
        return self.fault

    def calm(self) -> None:
        """Work from now on."""
        self.fail_at = -1

    def put_locked(self, key: str, data: ReadBuffer, *, lock: Lock) -> str:
        fault = self._begin()
        return self._answered(super().put_locked(key, data, lock=lock), fault)

    def extend(self, key: str, *, version_id: str, until_s: float) -> Lock:
        fault = self._begin()
        lock = super().extend(key, version_id=version_id, until_s=until_s)
        return self._answered(lock, fault)

    def get(self, key: str, *, version_id: str, max_bytes: int) -> bytes:
        fault = self._begin()
        data = super().get(key, version_id=version_id, max_bytes=max_bytes)
        return self._answered(data, fault)

    def versions(self, prefix: str, *, start_after: str = "") -> Iterator[BlobVersion]:
        fault = self._begin()
        found = super().versions(prefix, start_after=start_after)
        return self._answered(found, fault)

    @staticmethod
    def _answered(answer: Answer, fault: Fault) -> Answer:
        if fault is Fault.ANSWER_LOST:
            message = "the answer was lost"
            raise UnavailableError(message)
        return answer


class Site:
    """A store with one backup, and a version more since."""

    def __init__(self, executor: ThreadPoolExecutor) -> None:
        self.clock = clock = ManualClock()
        self.bucket = DyingBucket(clock)
        self.blobs = MemoryBlobStore(clock)
        self.world = World(
            blobs=self.blobs,
            key_service=MemoryKeyService(entropy=SystemEntropy()),
            signer=HmacSigner(),
            clock=clock,
            executor=executor,
        )
        self.world.push(FIRST)
        self.server().take()
        self.world.push(SECOND)
        clock.advance(3600)
        self.bucket.calls = 0

    def server(self, blobs: FaultyBlobStore | None = None) -> BackedUp:
        """Start a server that remembers nothing."""
        return BackedUp(self.world.reopened(blobs=blobs), self.bucket)

    def expected(self) -> dict[str, str]:
        """Return what a backup holds that nobody interrupts, in another bucket."""
        server = BackedUp(self.world.reopened(), MemoryLockedBlobs(self.clock))
        return server.rows(server.take().backup)

    def check(self, expected: dict[str, str]) -> None:
        """Check that what has a root is whole, and that the next one is right."""
        self.bucket.calm()
        server = self.server()
        for number in server.records.numbers():
            assert server.verify(number)[0] == []
        saved = server.take().backup
        assert server.rows(saved) == expected
        assert server.verify(saved.number)[0] == []
        opened = server.opened(saved)
        assert [opened.pull("1"), opened.pull("2")] == [FIRST, SECOND]
        # Beside the one before, that of an attempt whose last answer was lost.
        assert saved.number <= 3


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_a_backup_that_ends_anywhere_is_taken_again_the_same(
    fault: Fault | None, executor: ThreadPoolExecutor, tried: Counter[str]
) -> None:
    site = Site(executor)
    site.server().take()
    calls = site.bucket.calls

    for place in range(calls):
        site = Site(executor)
        expected = site.expected()
        site.bucket.fail_at, site.bucket.fault = place, fault
        with suppress(CrashError, UnavailableError):
            site.server().take()
        site.check(expected)
        tried[f"backup, {fault.name.lower() if fault else 'process gone'}"] += 1


def test_a_store_that_fails_anywhere_gets_no_backup_or_a_whole_one(
    executor: ThreadPoolExecutor, tried: Counter[str]
) -> None:
    site = Site(executor)
    blobs = FaultyBlobStore(site.blobs)
    site.server(blobs).take()
    calls = len(blobs.calls)

    for place in range(0, calls, 2):
        site = Site(executor)
        expected = site.expected()
        blobs = FaultyBlobStore(site.blobs, stop_after=place)
        with suppress(CrashError):
            site.server(blobs).take()
        site.check(expected)
        tried["backup, store gone"] += 1
