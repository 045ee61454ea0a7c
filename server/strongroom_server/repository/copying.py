# SPDX-License-Identifier: Apache-2.0
"""Copying stored objects to another bucket, as they are: checked, bounded, in order.

One engine for backups, restores into a store, and replicas. It copies the objects of
one stage; who needs one stage to be there before the next begins calls it once for
each. No key is needed, and nothing is believed for its place alone: every object is
held against its name, and digested, while it passes.
"""

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, wait
from dataclasses import dataclass
from functools import partial
from typing import Final, Generic, Protocol, TypeVar

from strongroom.errors import IntegrityError, Reason, UnavailableError
from strongroom_server.core.inventory import StoredObject
from strongroom_server.core.stored_objects import gone, max_bytes
from strongroom_server.ports import (
    BlobExistsError,
    BlobNotFoundError,
    BlobStore,
    ReadBuffer,
)
from strongroom_server.repository.numbered_blobs import first_version
from strongroom_server.repository.throttle import Throttle

#: Objects under way at once, and their bytes; a single one may be larger.
IN_FLIGHT: Final = 8
IN_FLIGHT_BYTES: Final = 128 * 1024 * 1024
PUT_ATTEMPTS: Final = 3

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class CopyItem:
    """One object to copy.

    Attributes:
        key: Where it lies, in the source as in the target.
        version_id: Which version of it, in the source.
        size_bytes: How long it is.
        known_as: By which version ids the store's records pin it, if not by the
            source's alone.
    """

    key: str
    version_id: str
    size_bytes: int
    known_as: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Copied:
    """What became of an object.

    Attributes:
        item: Which one.
        row: How it lies in the target.
        was_there: Whether the target had it already, with the same bytes.
        was_mended: Whether its bytes came from elsewhere than the source.
    """

    item: CopyItem
    row: StoredObject
    was_there: bool
    was_mended: bool = False


@dataclass(frozen=True, slots=True)
class Stored:
    """Where an object lies in a target, and whether it lay there before."""

    version_id: str
    was_there: bool


@dataclass(frozen=True, slots=True)
class Task(Generic[Result]):
    """Something to be done by a thread, and how much memory it takes meanwhile."""

    work: Callable[[], Result]
    size_bytes: int = 0


class CopySource(Protocol):
    """What is copied from: any `BlobStore`, or `LockedBlobs`."""

    def get(self, key: str, *, version_id: str, max_bytes: int) -> bytes:
        """See `BlobStore`."""
        ...


class CopyTarget(Protocol):
    """What is copied to. Safe to use from many threads."""

    def store(self, item: CopyItem, data: ReadBuffer) -> Stored:
        """Store an object under its key; the same bytes there already will do.

        Raises:
            IntegrityError: Other bytes lie there, and it cannot be stored beside
                them (DIGEST_MISMATCH).
            UnavailableError: The target failed at every attempt.
        """
        ...


#: Holds bytes against the key that they lie under; raises IntegrityError.
Check = Callable[[str, bytes], object]
#: Finds the bytes of an object that the source has not whole; None leaves it out.
#: Raises what ends the copy: by default the error that it is given.
Mend = Callable[[CopyItem, IntegrityError], bytes | None]


def _refuse(_item: CopyItem, error: IntegrityError) -> bytes | None:
    raise error


def copy_objects(
    source: CopySource,
    target: CopyTarget,
    items: Iterable[CopyItem],
    *,
    executor: Executor,
    throttle: Throttle,
    check: Check,
    mend: Mend = _refuse,
    in_flight: int = IN_FLIGHT,
) -> Iterator[Copied]:
    """Copy objects, a few at a time; yield what became of each, in their order.

    When it ends, however it ends, nothing is under way any more.

    Args:
        source: Where they lie.
        target: Where they are stored.
        items: What to copy; taken one by one, as there is room.
        executor: Its threads read and store.
        throttle: Keeps the rate at which the source is read.
        check: Holds what was read against its key.
        mend: Finds what the source has not whole, and may leave it out.
        in_flight: How many are under way at once.

    Raises:
        IntegrityError: The source has one not whole, or the target has other bytes.
        UnavailableError: Source or target cannot be reached.
    """
    work = partial(_copy, source, target, check, mend)

    def tasks() -> Iterator[Task[Copied | None]]:
        for item in items:
            throttle.spend(item.size_bytes)
            yield Task(partial(work, item), item.size_bytes)

    for copied in in_order(tasks(), executor=executor, in_flight=in_flight):
        if copied is not None:
            yield copied


def in_order(
    tasks: Iterable["Task[Result]"],
    *,
    executor: Executor,
    in_flight: int = IN_FLIGHT,
) -> Iterator[Result]:
    """Do tasks, a few at a time; yield what each has come to, in their order.

    When it ends, however it ends, nothing is under way any more. No task waits for
    another one.

    Args:
        tasks: What to do; taken one by one, as there is room.
        executor: Its threads do it.
        in_flight: How many are under way at once.
    """
    under_way: deque[tuple[Future[Result], int]] = deque()
    held_bytes = 0
    try:
        for task in tasks:
            while under_way and (
                len(under_way) >= in_flight
                or held_bytes + task.size_bytes > IN_FLIGHT_BYTES
            ):
                held_bytes -= under_way[0][1]
                yield _take(under_way)
            under_way.append((executor.submit(task.work), task.size_bytes))
            held_bytes += task.size_bytes
        while under_way:
            yield _take(under_way)
    finally:
        for future, _ in under_way:
            future.cancel()
        wait([future for future, _ in under_way])


class BlobTarget:
    """A `CopyTarget` over a bucket that takes an object once, under a free key."""

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs

    def store(self, item: CopyItem, data: ReadBuffer) -> Stored:
        """See `CopyTarget`; what readers find there must be these bytes.

        A lost answer is resolved by trying again: what lies there then is compared.
        """
        for attempt in range(PUT_ATTEMPTS):
            try:
                stored = self._blobs.put_new(item.key, data)
            except BlobExistsError:
                return Stored(self._compared(item, data), was_there=True)
            except UnavailableError:
                if attempt == PUT_ATTEMPTS - 1:
                    raise
            else:
                first = first_version(self._blobs, item.key)
                if first is not None and first.version_id == stored:
                    return Stored(stored, was_there=False)
                # A delete marker hides an older version, which readers find.
                return Stored(self._compared(item, data), was_there=True)
        raise AssertionError

    def _compared(self, item: CopyItem, data: ReadBuffer) -> str:
        first = first_version(self._blobs, item.key)
        if first is not None and first.size_bytes == len(data):
            found = self._blobs.get(
                item.key, version_id=first.version_id, max_bytes=len(data)
            )
            if found == data:
                return first.version_id
        raise IntegrityError(
            f"other bytes lie at {item.key} in the bucket that it is to be copied to",
            reason=Reason.DIGEST_MISMATCH,
            hint="Use an empty bucket or prefix, or the one of an earlier run.",
            key=item.key,
        )


def _take(under_way: deque[tuple[Future[Result], int]]) -> Result:
    future, _ = under_way[0]
    result = future.result()
    under_way.popleft()
    return result


def _copy(
    source: CopySource, target: CopyTarget, check: Check, mend: Mend, item: CopyItem
) -> Copied | None:
    was_mended = False
    try:
        data = read_whole(source, item, check)
    except IntegrityError as error:
        found = mend(item, error)
        if found is None:
            return None
        data, was_mended = found, True
    placed = target.store(item, data)
    row = StoredObject(
        item.key,
        placed.version_id,
        hashlib.sha256(data).hexdigest(),
        len(data),
        item.known_as or (item.version_id,),
    )
    return Copied(item, row, placed.was_there, was_mended)


def read_whole(source: CopySource, item: CopyItem, check: Check) -> bytes:
    """Return an object's bytes, held against its key.

    Raises:
        IntegrityError: They are not what belongs there, or there are none.
    """
    limit = max_bytes(item.key)
    try:
        data = source.get(item.key, version_id=item.version_id, max_bytes=limit)
    except BlobNotFoundError as error:
        raise gone(item.key) from error
    check(item.key, data)
    return data
