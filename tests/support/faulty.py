# SPDX-License-Identifier: Apache-2.0
"""A blob store whose calls fail as the test says, or stop for good.

`queue(method, faults)` decides what the next calls of a method do; with an empty
queue they work. `stop_after=n` lets n calls begin and end, whatever their method;
every later one raises `CrashError`, as if the process had been killed there.
"""

import threading
from collections import defaultdict, deque
from collections.abc import Iterator
from enum import Enum

from strongroom.errors import Reason, UnavailableError
from strongroom_server.ports import BlobRemover, BlobStore, BlobVersion, ReadBuffer


class CrashError(BaseException):
    """The process is gone; no `except Exception` may go on after it."""


class Fault(Enum):
    """What a call does instead of what it should."""

    NONE = "works; a place in the queue"
    UNAVAILABLE = "fails and has done nothing"
    ANSWER_LOST = "is done, but fails"
    SHORT = "is done half, and fails: half a buffer, half a listing"


class FaultyBlobStore:
    """A wrapper of any blob store; safe to use from many threads."""

    def __init__(self, store: BlobStore, *, stop_after: int | None = None) -> None:
        self._store = store
        self._stop_after = stop_after
        self._lock = threading.Lock()
        self._faults: dict[str, deque[Fault]] = defaultdict(deque)
        self.calls: list[str] = []

    def queue(self, method: str, *faults: Fault) -> None:
        """Let the next calls of a method fail so, one fault a call."""
        with self._lock:
            self._faults[method].extend(faults)

    def calm(self) -> None:
        """Forget the faults that nobody has met."""
        with self._lock:
            self._faults.clear()

    def put_new(self, key: str, data: ReadBuffer) -> str:
        fault = self._begin("put_new")
        version_id = self._store.put_new(key, data)
        _lose(fault)
        return version_id

    def get(self, key: str, *, version_id: str, max_bytes: int) -> bytes:
        fault = self._begin("get")
        data = self._store.get(key, version_id=version_id, max_bytes=max_bytes)
        _lose(fault)
        return data

    def read_into(
        self, key: str, *, version_id: str, offset_bytes: int, buffer: memoryview
    ) -> None:
        fault = self._begin("read_into")
        if fault is Fault.SHORT:
            buffer = buffer[: len(buffer) // 2]
        self._store.read_into(
            key, version_id=version_id, offset_bytes=offset_bytes, buffer=buffer
        )
        _lose(fault)

    def first_versions(
        self, prefix: str, *, start_after: str = ""
    ) -> Iterator[BlobVersion]:
        fault = self._begin("first_versions")
        found = list(self._store.first_versions(prefix, start_after=start_after))
        if fault is Fault.SHORT:
            found = found[: len(found) // 2]
        yield from found
        _lose(fault)

    def subfolders(self, prefix: str) -> Iterator[str]:
        fault = self._begin("subfolders")
        found = list(self._store.subfolders(prefix))
        if fault is Fault.SHORT:
            found = found[: len(found) // 2]
        yield from found
        _lose(fault)

    def remover(self, remover: BlobRemover) -> "FaultyRemover":
        """Let what removes objects fail and stop with the store."""
        return FaultyRemover(self, remover)

    def time_s(self) -> float:
        _lose(self._begin("time_s"))
        return self._store.time_s()

    def check_ready(self) -> None:
        _lose(self._begin("check_ready"))
        self._store.check_ready()

    def _begin(self, method: str) -> Fault:
        with self._lock:
            if self._stop_after is not None and len(self.calls) >= self._stop_after:
                message = f"stopped before {method}, after {len(self.calls)} calls"
                raise CrashError(message)
            self.calls.append(method)
            faults = self._faults[method]
            fault = faults.popleft() if faults else Fault.NONE
        if fault is Fault.UNAVAILABLE:
            _lose(fault)
        return fault


class FaultyRemover:
    """What removes objects of a faulty store; its method is called "remove"."""

    def __init__(self, store: FaultyBlobStore, remover: BlobRemover) -> None:
        self._store = store
        self._remover = remover

    def remove(self, key: str, *, version_id: str) -> bool:
        fault = self._store._begin("remove")
        was_there = self._remover.remove(key, version_id=version_id)
        _lose(fault)
        return was_there


def _lose(fault: Fault) -> None:
    if fault is not Fault.NONE:
        message = f"the store, as the test asked, {fault.value}"
        raise UnavailableError(message, reason=Reason.STORE_UNAVAILABLE)


_blob_store: type[BlobStore] = FaultyBlobStore
_remover: type[BlobRemover] = FaultyRemover
