# SPDX-License-Identifier: Apache-2.0
"""The ports of one simulated server: S3, Vault, index, clock; each with its faults.

Every call of S3 and Vault, and every write to the index, is a step: others may run
before it and, where it changes something, between what it does and its answer.
Of the signatures only the primitive is swapped: an HMAC in place of P-384 and
ML-DSA-65. Everything that is done with them is the real code.
"""

import base64
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Final, Protocol

from strongroom.errors import UnavailableError
from strongroom_server.adapters.memory_keys import MemoryKeyService
from strongroom_server.core.signatures import PublicKey, Signature
from strongroom_server.ports import (
    BlobExistsError,
    BlobNotFoundError,
    BlobRemover,
    BlobStore,
    BlobVersion,
    Clock,
    DataKey,
    Entropy,
    Index,
    KekState,
    KeyService,
    ReadBuffer,
    Signer,
    WrappedKey,
)
from tests.simulation.bucket import Bucket, too_long
from tests.simulation.faults import (
    Fault,
    Faults,
    index_full,
    removal_refused,
    store_error,
    vault_denied,
    vault_down,
)
from tests.simulation.schedule import CrashError, Scheduler
from tests.simulation.signing import HmacSigner

START: Final = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
#: How long a request may hang before the adapter gives up.
TIMEOUT_S: Final = 45.0


class Process(Protocol):
    """What the ports belong to."""

    dead: bool

    def crash(self) -> None:
        """End at once; every task of it finds out at its next step."""
        ...


class Ports:
    """What all ports of one process share."""

    def __init__(self, scheduler: Scheduler, faults: Faults, process: Process) -> None:
        self.scheduler = scheduler
        self.faults = faults
        self.process = process

    def step(self, place: str, text: str) -> Fault | None:
        """Let others run, then draw what goes wrong with this call."""
        self.scheduler.pause(text)
        fault = self.faults.draw(place)
        if fault is None:
            return None
        if fault is Fault.CRASH:
            self.struck(fault)
            self.process.crash()
            raise CrashError
        return fault

    def struck(self, fault: Fault) -> None:
        """Count a fault, and remember that it struck this call."""
        self.faults.count(fault)
        self.scheduler.note(fault.name)
        task = self.scheduler.current
        if task is not None and task.call is not None:
            task.call.faults.add(fault.name)


class SimBlobs:
    """The bucket as one server sees it."""

    def __init__(self, ports: Ports, bucket: Bucket, page_size: int) -> None:
        self._ports = ports
        self._bucket = bucket
        self._page_size = page_size

    def put_new(self, key: str, data: ReadBuffer) -> str:
        ports = self._ports
        with changing(ports, "write", f"put {key}"):
            now_s = START.timestamp() + ports.scheduler.now_s
            try:
                return self._bucket.put_new(key, bytes(data), now_s)
            except BlobExistsError:
                ports.faults.count(Fault.RACE_LOST)
                raise

    def get(self, key: str, *, version_id: str, max_bytes: int) -> bytes:
        fault = self._read(f"get {key}")
        data = self._bucket.find(key, version_id)
        if len(data) > max_bytes:
            raise too_long(len(data), max_bytes)
        return self._damaged(data, fault)

    def read_into(
        self, key: str, *, version_id: str, offset_bytes: int, buffer: memoryview
    ) -> None:
        view = buffer.cast("B")
        if not len(view):
            return
        fault = self._read(f"read {key} {offset_bytes}+{len(view)}")
        data = self._bucket.find(key, version_id)
        if offset_bytes + len(view) > len(data):
            raise BlobNotFoundError(key)
        part = data[offset_bytes : offset_bytes + len(view)]
        if fault is Fault.SHORT:
            half = len(part) // 2
            view[:half] = part[:half]
        view[:] = self._damaged(part, fault)

    def first_versions(
        self, prefix: str, *, start_after: str = ""
    ) -> Iterator[BlobVersion]:
        while True:
            fault = self._ports.step("list", f"list {prefix}")
            fail(self._ports, fault)
            page = self._bucket.page(prefix, start_after, self._page_size)
            if fault is Fault.SHORT:
                yield from page[: len(page) // 2]
                self._ports.struck(fault)
                raise store_error(fault)
            yield from page
            if len(page) < self._page_size:
                return
            start_after = page[-1].key

    def subfolders(self, prefix: str) -> Iterator[str]:
        last = ""
        for version in self.first_versions(prefix):
            segment, slash, _ = version.key.removeprefix(prefix).partition("/")
            folder = f"{prefix}{segment}/"
            if slash and folder != last:
                yield folder
                last = folder

    def time_s(self) -> float:
        fail(self._ports, self._ports.step("list", "time of store"))
        return START.timestamp() + self._ports.scheduler.now_s

    def check_ready(self) -> None:
        fail(self._ports, self._ports.step("list", "check store"))

    def _read(self, text: str) -> Fault | None:
        fault = self._ports.step("read", text)
        fail(self._ports, fault)
        return fault

    def _damaged(self, data: bytes, fault: Fault | None) -> bytes:
        if fault is Fault.SHORT:
            self._ports.struck(fault)
            raise store_error(fault)
        if fault is not Fault.BIT_FLIP or not data:
            return data
        self._ports.struck(fault)
        damaged = bytearray(data)
        place = int(self._ports.scheduler.random.random() * len(data) * 8)
        damaged[place // 8] ^= 1 << place % 8
        return bytes(damaged)


class SimRemover:
    """What removes objects for good, with a credential of its own."""

    def __init__(self, ports: Ports, bucket: Bucket) -> None:
        self._ports = ports
        self._bucket = bucket

    def remove(self, key: str, *, version_id: str) -> bool:
        with changing(self._ports, "remove", f"remove {key}"):
            return self._bucket.remove(key, version_id)


@contextmanager
def changing(ports: Ports, place: str, text: str) -> Iterator[None]:
    """Let a request that changes the bucket go well, or not, or end without answer."""
    fault = ports.step(place, text)
    fail(ports, fault)
    yield
    ports.step("answer", "applied")
    if fault in {Fault.TIMEOUT_AFTER, Fault.FAILED_AFTER}:
        raise struck_by(ports, fault)


def fail(ports: Ports, fault: Fault | None) -> None:
    """Raise what the adapter raises of a fault that did nothing in the bucket."""
    if fault is Fault.REMOVAL_REFUSED:
        ports.struck(fault)
        raise removal_refused()
    if fault in {Fault.TIMEOUT_BEFORE, Fault.BUSY, Fault.CONFLICT}:
        raise struck_by(ports, fault)


def struck_by(ports: Ports, fault: Fault) -> UnavailableError:
    """Return the error of a request that failed, when it has."""
    ports.struck(fault)
    if fault in {Fault.TIMEOUT_BEFORE, Fault.TIMEOUT_AFTER}:
        ports.scheduler.sleep(TIMEOUT_S)
    return store_error(fault)


class SimVault:
    """Vault as one server sees it; what it keeps is shared by all."""

    def __init__(self, ports: Ports, keys: MemoryKeyService) -> None:
        self._ports = ports
        self._keys = keys
        self._signer = HmacSigner()
        self._down_until_s = 0.0

    def create_kek(self, name: str) -> None:
        self._step("vault create")
        self._keys.create_kek(name)

    def generate(self, kek: str, context: bytes) -> DataKey:
        self._step("vault generate")
        return self._keys.generate(kek, context)

    def unwrap(self, kek: str, context: bytes, wrapped: str) -> bytes:
        self._step("vault unwrap")
        return self._keys.unwrap(kek, context, wrapped)

    def rewrap(self, kek: str, keys: Sequence[WrappedKey]) -> Sequence[str | None]:
        self._step("vault rewrap")
        return self._keys.rewrap(kek, keys)

    def kek_state(self, kek: str) -> KekState:
        self._step("vault read")
        return self._keys.kek_state(kek)

    def check_ready(self) -> None:
        self._step("vault check")

    def sign(self, message: bytes) -> Sequence[Signature]:
        self._step("vault sign")
        return self._signer.sign(message)

    def public_keys(self) -> Mapping[str, PublicKey]:
        return self._signer.public_keys()

    def _step(self, text: str) -> None:
        ports = self._ports
        scheduler = ports.scheduler
        fault = ports.step("vault", text)
        match fault:
            case Fault.VAULT_DOWN:
                self._down_until_s = scheduler.now_s + 100 * scheduler.random.random()
            case Fault.VAULT_SLOW:
                ports.struck(Fault.VAULT_SLOW)
                scheduler.sleep(1000 * scheduler.random.random())
            case Fault.VAULT_TOKEN:
                ports.struck(Fault.VAULT_TOKEN)
                raise vault_denied()
            case _:
                pass
        if scheduler.now_s < self._down_until_s:
            ports.struck(Fault.VAULT_DOWN)
            raise vault_down()

    def heal(self) -> None:
        """Be up again."""
        self._down_until_s = 0.0


class SimIndex:
    """An index on a disk that survives its server, or does not."""

    def __init__(self, items: Mapping[bytes, bytes] | None = None) -> None:
        self.ports: Ports | None = None
        self.items = dict(items or {})
        self._batches: list[Mapping[bytes, bytes]] = [dict(self.items)]

    def get(self, key: bytes) -> bytes | None:
        return None if self._is_rotten() else self.items.get(key)

    def put_many(self, items: Mapping[bytes, bytes]) -> None:
        ports = self.ports
        if ports is not None:
            fault = ports.step("index write", "index put")
            if fault is Fault.INDEX_FULL:
                ports.struck(fault)
                raise index_full()
        self.items.update(items)
        self._batches.append(dict(items))

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        for key in sorted(key for key in self.items if key.startswith(prefix)):
            value = self.get(key)
            if value is not None:
                yield key, value

    def forget(self, prefix: bytes) -> None:
        for key in [key for key in self.items if key.startswith(prefix)]:
            del self.items[key]

    def clear(self) -> None:
        self.items.clear()
        self._batches.clear()

    def lose_newest(self, count: int) -> None:
        """Forget the last transactions, as a machine that lost its power may."""
        kept = self._batches[: max(len(self._batches) - count, 0)]
        self.clear()
        for batch in kept:
            self.items.update(batch)
        self._batches = kept

    def _is_rotten(self) -> bool:
        ports = self.ports
        if ports is None or ports.faults.draw("index read") is None:
            return False
        ports.faults.count(Fault.INDEX_ROT)
        return True


class SimClock:
    """The simulation's time, seen by a server whose clock may be wrong."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self.wrong_s = 0.0

    def now(self) -> datetime:
        return START + timedelta(seconds=self._scheduler.now_s + self.wrong_s)

    def monotonic(self) -> float:
        return self._scheduler.now_s

    def sleep(self, seconds: float) -> None:
        self._scheduler.sleep(seconds)


class SimEntropy:
    """Randomness out of the seed."""

    def __init__(self, random: Random) -> None:
        self._random = random

    def token_bytes(self, size: int) -> bytes:
        return self._random.randbytes(size)


def request_id(random: Random) -> str:
    """Return an id that is not used twice."""
    return base64.b32encode(random.randbytes(10)).decode().lower()


_blobs: type[BlobStore] = SimBlobs
_remover: type[BlobRemover] = SimRemover
_vault: type[KeyService] = SimVault
_signer: type[Signer] = SimVault
_index: type[Index] = SimIndex
_clock: type[Clock] = SimClock
_entropy: type[Entropy] = SimEntropy
