# SPDX-License-Identifier: Apache-2.0
"""One stalled request does not hold up a reader, and two of them end in an error."""

import gc
import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from strongroom.errors import IntegrityError, Reason, UnavailableError
from strongroom_server.adapters.memory import MemoryBlobStore
from strongroom_server.services.downloads import hedging
from strongroom_server.services.downloads.hedging import Fetch, Pace
from tests.support.clock import ManualClock
from tests.support.samples import filled
from tests.support.world import World


class StallingStore(MemoryBlobStore):
    """A store of which some reads hang until the test lets them go."""

    def __init__(self) -> None:
        super().__init__()
        self.stalled = 0
        self.read_count = 0
        self.gate = threading.Event()
        self._lock_reads = threading.Lock()

    def read_into(
        self, key: str, *, version_id: str, offset_bytes: int, buffer: memoryview
    ) -> None:
        with self._lock_reads:
            self.read_count += 1
            stalls = self.stalled > 0
            self.stalled -= stalls
        if stalls:
            self.gate.wait(60.0)
        super().read_into(
            key, version_id=version_id, offset_bytes=offset_bytes, buffer=buffer
        )


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[StallingStore]:
    monkeypatch.setattr(hedging, "MIN_DELAY_S", 0.05)
    stalling = StallingStore()
    yield stalling
    stalling.gate.set()


@pytest.fixture
def stalling_world(store: StallingStore) -> Iterator[World]:
    with ThreadPoolExecutor(4) as executor:
        yield World(blobs=store, executor=executor)
        store.gate.set()


def test_a_read_that_hangs_is_overtaken_by_a_second_one(
    stalling_world: World, store: StallingStore
) -> None:
    data = filled("a", 100_000)
    stalling_world.push({"a": data})
    stalling_world.pull()  # the file table is in memory now
    reads = store.read_count
    store.stalled = 1

    assert stalling_world.pull() == {"a": data}
    assert store.read_count == reads + 2
    assert not store.gate.is_set()


def test_two_reads_that_hang_are_an_error_by_the_deadline(
    stalling_world: World, store: StallingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hedging, "DEADLINE_S", 0.3)
    stalling_world.push({"a": filled("a", 100_000)})
    stalling_world.pull()
    budget = stalling_world.repository.read_budget.free_bytes
    store.stalled = 2

    with pytest.raises(UnavailableError) as caught:
        stalling_world.pull()

    assert caught.value.reason is Reason.STALLED
    assert caught.value.retriable
    assert stalling_world.repository.read_budget.free_bytes == budget


def waiting() -> "tuple[list[Future[str]], Fetch[str]]":
    begun: list[Future[str]] = []

    def begin() -> Future[str]:
        begun.append(Future())
        if len(begun) == 2:
            begun[1].set_result("second")
        return begun[-1]

    return begun, Fetch(begin, pace=Pace(), clock=ManualClock())


def test_a_quick_answer_needs_no_second_request() -> None:
    begun, fetch = waiting()
    begun[0].set_result("first")

    assert fetch.result() == "first"
    assert not fetch.hedged


def test_what_was_fetched_is_kept_by_nobody_else() -> None:
    class Chunk:
        """Something whose end can be seen; bytes have no weak references."""

    done: Future[Chunk] = Future()
    fetch = Fetch(iter([done]).__next__, pace=Pace(), clock=ManualClock())
    done.set_result(Chunk())
    seen = weakref.ref(fetch.result())
    gc.disable()
    try:
        del fetch, done

        # Not even until the next collection: sixteen of them are 256 MiB.
        assert seen() is None
    finally:
        gc.enable()


def test_an_error_that_comes_quickly_is_the_answer() -> None:
    begun, fetch = waiting()
    begun[0].set_exception(IntegrityError("damaged", reason=Reason.CHUNK_CORRUPT))

    with pytest.raises(IntegrityError):
        fetch.result()
    assert not fetch.hedged


def test_the_second_answer_counts_if_it_comes_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hedging, "MIN_DELAY_S", 0.0)
    begun, fetch = waiting()

    assert fetch.result() == "second"
    assert fetch.hedged
    assert len(begun) == 2


def test_a_first_request_that_fails_late_leaves_it_to_the_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hedging, "MIN_DELAY_S", 0.0)
    begun: list[Future[str]] = []

    def begin() -> Future[str]:
        begun.append(Future())
        if len(begun) == 2:
            begun[0].set_exception(UnavailableError("cut"))
            begun[1].set_result("second")
        return begun[-1]

    assert Fetch(begin, pace=Pace(), clock=ManualClock()).result() == "second"


def test_the_delay_follows_the_median() -> None:
    pace = Pace()
    assert pace.delay_s == hedging.MIN_DELAY_S

    for seconds in (2.0, 2.0, 90.0):
        pace.note(seconds)

    assert pace.delay_s == 8.0


@pytest.mark.parametrize("outcome", ["answer", "error", "cancelled"])
def test_only_fetches_that_succeed_are_in_the_median(
    outcome: str, caplog: pytest.LogCaptureFixture
) -> None:
    clock, pace = ManualClock(), Pace()
    first: Future[str] = Future()
    fetch = Fetch(lambda: first, pace=pace, clock=clock)
    clock.advance(30.0)

    if outcome == "answer":
        first.set_result("first")
    elif outcome == "error":
        first.set_exception(UnavailableError("refused"))
    else:
        fetch.cancel()

    usual_s = 30.0 if outcome == "answer" else 0.0
    assert pace.delay_s == max(hedging.MIN_DELAY_S, hedging.MEDIANS * usual_s)
    # Futures log what a callback raises, and go on.
    assert caplog.records == []


def test_the_median_forgets_what_was_long_ago() -> None:
    pace = Pace()
    for seconds in (*[9.0] * 40, *[2.0] * 32):
        pace.note(seconds)

    assert pace.delay_s == 8.0


def test_if_both_requests_fail_the_first_failure_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hedging, "MIN_DELAY_S", 0.0)
    begun: list[Future[str]] = []

    def begin() -> Future[str]:
        begun.append(Future())
        if len(begun) == 2:
            begun[0].set_exception(UnavailableError("one"))
            begun[1].set_exception(UnavailableError("two"))
        return begun[-1]

    with pytest.raises(UnavailableError, match="one"):
        Fetch(begin, pace=Pace(), clock=ManualClock()).result()
