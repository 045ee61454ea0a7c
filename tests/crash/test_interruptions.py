# SPDX-License-Identifier: Apache-2.0
"""Every use case that writes, interrupted at every call of the store.

Three ways, at each call from the engine's start on: the process is gone before
it; the call fails and has done nothing; the call is done and its answer is lost.
Then another engine with an empty index looks at what is there.
"""

import contextlib
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import pytest

from strongroom.errors import Reason, UnavailableError
from strongroom_server.adapters.memory import MemoryIndex
from tests.crash.stores import (
    Store,
    attempt,
    calls_of,
    check_goes_on,
    fresh_store,
    state_of,
    without_empty,
)
from tests.crash.use_cases import USE_CASES, UseCase
from tests.support.faulty import Fault, FaultyBlobStore

BY_NAME = pytest.mark.parametrize(
    "use_case", USE_CASES, ids=[item.name for item in USE_CASES]
)
REPEATABLE = pytest.mark.parametrize(
    "use_case",
    [item for item in USE_CASES if item.is_repeatable],
    ids=[item.name for item in USE_CASES if item.is_repeatable],
)


class Expected:
    """What the store shows before the call and after it."""

    def __init__(self, use_case: UseCase, executor: ThreadPoolExecutor) -> None:
        store = fresh_store(use_case, executor)
        self.before = state_of(store.engine())
        use_case.act(store.engine())
        self.after = state_of(store.engine())
        self.settled = use_case.settle(store.engine())

    def check(self, store: Store, use_case: UseCase, *, acknowledged: bool) -> None:
        """Check all invariants on what an interruption left behind."""
        engine = store.engine()
        found = without_empty(state_of(engine))
        possible = [without_empty(self.after)]
        if not acknowledged:
            possible.append(without_empty(self.before))
        assert found in possible

        if use_case.is_repeatable:
            first = use_case.act(engine)
            assert state_of(store.engine()) == self.after

            assert use_case.act(store.engine()) == first
            assert state_of(store.engine()) == self.after
        assert use_case.settle(store.engine()) == self.settled
        check_goes_on(store, self.after)


@BY_NAME
def test_a_process_that_ends_anywhere_leaves_a_whole_store(
    use_case: UseCase, executor: ThreadPoolExecutor, tried: Counter[str]
) -> None:
    expected = Expected(use_case, executor)
    calls = calls_of(use_case, executor)

    for stop_after in range(len(calls) + 1):
        store = fresh_store(use_case, executor)
        blobs = FaultyBlobStore(store.blobs, stop_after=stop_after)
        done = attempt(store, use_case, blobs)
        assert done == (stop_after == len(calls))
        expected.check(store, use_case, acknowledged=done)
        tried[f"{use_case.name}, process gone"] += 1


@BY_NAME
@pytest.mark.parametrize("fault", [Fault.UNAVAILABLE, Fault.ANSWER_LOST, Fault.SHORT])
def test_a_call_that_fails_anywhere_leaves_a_whole_store(
    use_case: UseCase,
    fault: Fault,
    executor: ThreadPoolExecutor,
    tried: Counter[str],
) -> None:
    expected = Expected(use_case, executor)
    calls = calls_of(use_case, executor)

    for place, method in enumerate(calls):
        store = fresh_store(use_case, executor)
        blobs = FaultyBlobStore(store.blobs)
        blobs.queue(method, *[Fault.NONE] * calls[:place].count(method), fault)
        done = attempt(store, use_case, blobs)
        expected.check(store, use_case, acknowledged=done)
        tried[f"{use_case.name}, {fault.name.lower()}"] += 1


@REPEATABLE
@pytest.mark.parametrize("fault", [Fault.UNAVAILABLE, Fault.ANSWER_LOST])
def test_the_same_engine_goes_on_after_a_call_that_failed(
    use_case: UseCase,
    fault: Fault,
    executor: ThreadPoolExecutor,
    tried: Counter[str],
) -> None:
    expected = Expected(use_case, executor)
    calls = calls_of(use_case, executor)

    for place in range(len(calls)):
        store = fresh_store(use_case, executor)
        blobs = FaultyBlobStore(store.blobs)
        engine = store.engine(blobs)
        opening = len(blobs.calls)
        if place < opening:
            continue
        method = calls[place]
        earlier = calls[opening:place].count(method)
        blobs.queue(method, *[Fault.NONE] * earlier, fault)
        with contextlib.suppress(UnavailableError):
            use_case.act(engine)
        # What an upload left durable varies, and with it how many calls are made.
        blobs.calm()
        first = use_case.act(engine)
        assert use_case.act(store.engine()) == first
        assert state_of(engine) == expected.after
        tried[f"{use_case.name}, same engine"] += 1


class FailingIndex(MemoryIndex):
    """An index whose disk fails at one write."""

    def __init__(self, fail_at: int) -> None:
        super().__init__()
        self.writes = 0
        self._fail_at = fail_at

    def calm(self) -> None:
        """Fail no more."""
        self._fail_at = -1

    def put_many(self, items: Mapping[bytes, bytes]) -> None:
        self.writes += 1
        if self.writes - 1 == self._fail_at:
            message = "the disk of the index failed"
            raise UnavailableError(message, reason=Reason.INDEX_UNAVAILABLE)
        super().put_many(items)


@REPEATABLE
def test_an_index_that_fails_anywhere_leaves_a_whole_store(
    use_case: UseCase, executor: ThreadPoolExecutor, tried: Counter[str]
) -> None:
    expected = Expected(use_case, executor)
    whole = FailingIndex(-1)
    use_case.act(fresh_store(use_case, executor).engine(index=whole))

    for fail_at in range(whole.writes):
        store = fresh_store(use_case, executor)
        index = FailingIndex(fail_at)
        engine = store.engine(index=index)
        with contextlib.suppress(UnavailableError):
            use_case.act(engine)
        index.calm()
        use_case.act(engine)
        assert state_of(engine) == expected.after
        expected.check(store, use_case, acknowledged=True)
        tried[f"{use_case.name}, index"] += 1
